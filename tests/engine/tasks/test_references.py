"""Pictures that come with an instruction are read once, at the sizes that the model knows."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from engine.checkpoints.open import open_model
from engine.errors import BadRequest, Cancelled
from engine.memory.model import Model
from engine.memory.place import Place
from engine.memory.studio import Studio
from engine.memory.tensor_cache import TensorCache
from engine.model.vae_strips import Strips
from engine.request import Precision, Request
from engine.tasks.reading import PictureSizes, reading_sizes, target_size
from engine.tasks.references import condition, read_picture
from engine.tasks.text_to_image import Captioning
from engine.variants import by_name
from tests.tiny_omni import VISION, save_tiny_omni

OMNI = by_name("omni-base")
SIZES = PictureSizes(seen=(75, 50), encoded=(64, 48))
LAID_OUT = Strips()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    folder = tmp_path_factory.mktemp("omni")
    save_tiny_omni(folder)
    place = Place(device="cpu", precision=Precision.FP32)
    return Studio().model(open_model(folder), place, lambda: None)


@pytest.fixture
def cache(tmp_path) -> TensorCache:
    return TensorCache(tmp_path / "references")


@pytest.fixture
def looks(monkeypatch) -> list[str]:
    """Note which networks look at a picture."""
    found: list[str] = []
    for name in ("see", "vae_encode"):
        whole = getattr(Model, name)

        def noted(*given, name=name, whole=whole):
            found.append(name)
            return whole(*given)

        monkeypatch.setattr(Model, name, noted)
    return found


def picture(size=(75, 50), level=90) -> Image.Image:
    made = Image.linear_gradient("L").resize(size).convert("RGB")
    made.putpixel((30, 20), (level, 0, 0))
    return made


@torch.inference_mode()
def read(model, cache, shown=None, sizes=SIZES, strips=LAID_OUT):
    return read_picture(model, shown or picture(), sizes, strips, cache)


def test_a_picture_is_read_once_also_by_the_next_process(model, cache, looks, tmp_path):
    first = read(model, cache)
    assert sorted(looks) == ["see", "vae_encode"]
    again = read(model, cache)
    later = read(model, TensorCache(tmp_path / "references"))
    assert sorted(looks) == ["see", "vae_encode"]
    for other in (again, later):
        assert torch.equal(other.latents, first.latents)
        assert torch.equal(other.features, first.features)


def test_another_picture_or_another_size_is_read_anew(model, cache, looks):
    first = read(model, cache)
    read(model, cache, picture(level=91))
    assert len(looks) == 4
    small = read(model, cache, sizes=PictureSizes(seen=(60, 40), encoded=(48, 32)))
    assert len(looks) == 6
    assert small.latents.shape != first.latents.shape


def test_a_changed_instruction_looks_at_no_picture(model, cache, looks):
    how = Captioning(warn=pytest.fail)
    for prompt in ("make it red", "make it blue"):
        with torch.inference_mode():
            scene = condition(model, prompt, how, [read(model, cache)])
        assert scene.caption.lengths[1] > len(prompt)
    assert sorted(looks) == ["see", "vae_encode"]


def test_the_autoencoder_gets_the_middle_and_the_vision_encoder_all(model, cache):
    whole = picture()
    found = read(model, cache, whole)
    left, top = (75 - 64) // 2, (50 - 48) // 2
    middle = whole.crop((left, top, left + 64, top + 48))
    same = read(model, cache, middle, PictureSizes(seen=(64, 48), encoded=(64, 48)))
    assert found.latents.shape == (1, 16, 6, 8)
    assert torch.equal(found.latents, same.latents)
    assert found.features.shape[-1] == VISION.hidden_size
    assert found.features.shape[1:3] != same.features.shape[1:3] or not torch.equal(
        found.features, same.features
    )


def test_a_known_prompt_is_refined_once_for_each_number_of_pictures(model, cache, monkeypatch):
    refined = []
    whole = Model.refine_segments
    monkeypatch.setattr(Model, "refine_segments", lambda *given: refined.append(1) or whole(*given))
    how = Captioning(warn=pytest.fail)
    with torch.inference_mode():
        one = read(model, cache)
        for references in ((), (one,), (one, one), (), (one,)):
            condition(model, "a hat", how, references)
    assert len(refined) == 3


def test_reading_a_picture_can_be_cancelled(model, cache):
    def cancel() -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        read(model, cache, strips=Strips(on_strip=cancel))


@pytest.mark.parametrize(
    ("given", "seen", "encoded"),
    [
        ((640, 480), (640, 480), (640, 480)),
        ((650, 490), (650, 490), (640, 480)),
        ((2048, 2048), (1024, 1024), (1024, 1024)),
        ((4000, 3000), (1182, 886), (1168, 880)),
    ],
)
def test_large_pictures_are_reduced_and_cropped_to_whole_tokens(given, seen, encoded):
    asked = Request(prompt="x")
    assert reading_sizes(asked, OMNI, [given]) == [PictureSizes(seen=seen, encoded=encoded)]


def test_large_pictures_are_reduced_to_the_size_that_is_asked_for():
    asked = Request(prompt="x", width=512, height=512)
    assert reading_sizes(asked, OMNI, [(2048, 2048)])[0].seen == (512, 512)
    assert reading_sizes(asked, OMNI, [(1024, 1024)])[0].seen == (1024, 1024)


def test_a_picture_too_narrow_to_be_read_is_refused():
    with pytest.raises(BadRequest, match="8 x 900 pixels is too narrow"):
        reading_sizes(Request(prompt="x"), OMNI, [(8, 900)])


@pytest.mark.parametrize(
    ("given", "made"),
    [((640, 480), (640, 480)), ((650, 487), (656, 480)), ((4000, 3000), (1184, 880))],
)
def test_an_edit_has_the_size_of_its_picture_up_to_a_megapixel(given, made):
    assert target_size(given, OMNI) == made


def test_a_model_of_small_pictures_reads_and_paints_small_ones():
    small = by_name("demo-base")
    most = small.limits.pixels[1]
    width, height = target_size((4000, 3000), small)
    assert width * height <= 1.05 * most
    (sizes,) = reading_sizes(Request(prompt="x"), small, [(4000, 3000)])
    assert sizes.encoded[0] * sizes.encoded[1] <= most
