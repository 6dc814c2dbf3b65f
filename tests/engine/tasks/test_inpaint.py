"""Repainting: where the mask is, and nowhere else, whatever the picture and the mask are."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
import torch
from PIL import Image

from engine.checks import MAX_SIDE, SIDE_MULTIPLE
from engine.errors import BadRequest
from engine.images.fit import extent
from engine.images.mask import WHITE_FROM
from engine.images.open import open_picture
from engine.images.pixels import pixels_of
from engine.request import Fill, Region, Request
from engine.tasks.frame import first_step, frame_of
from engine.tasks.prepare import procedure_of
from engine.variants import by_name

DEMO, TURBO = by_name("demo-turbo"), by_name("turbo")
CASES = 200
ORIENTATION = 0x0112


def noisy(rng: random.Random, mode: str, size: tuple[int, int]) -> Image.Image:
    bands = len(mode)
    return Image.frombytes(mode, size, rng.randbytes(size[0] * size[1] * bands))


def drawn_picture(rng: random.Random, folder: Path) -> Path:
    """A file of any kind: JPEG, WEBP or PNG, of odd sides, transparent or turned."""
    size = rng.randint(1, 90), rng.randint(1, 90)
    kind = rng.choice(["PNG", "JPEG", "WEBP"])
    mode = rng.choice(["RGB", "L"] if kind == "JPEG" else ["RGB", "RGBA", "LA", "L"])
    picture, exif = noisy(rng, mode, size), Image.Exif()
    exif[ORIENTATION] = rng.randint(1, 8)
    path = folder / f"in.{kind.lower()}"
    picture.save(path, kind, exif=exif)
    return path


def drawn_mask(rng: random.Random, size: tuple[int, int], folder: Path, name: str) -> Path:
    """A mask of one or more boxes, grey or not, with an alpha channel at times."""
    mask = Image.new("L", size)
    for _ in range(rng.randint(1, 3)):
        left, top = rng.randrange(size[0]), rng.randrange(size[1])
        level = rng.choice([255, 255, WHITE_FROM, 200])
        mask.paste(level, (left, top, rng.randint(left, size[0]), rng.randint(top, size[1])))
        mask.putpixel((left, top), 255)
    if rng.random() < 0.2:
        clear = Image.new("LA", size, (255, 0))
        clear.putalpha(mask)
        mask = clear
    path = folder / f"{name}.png"
    mask.save(path)
    return path


def whites(path: Path) -> torch.Tensor:
    """What a mask is white at, [H, W] bool, read by itself."""
    with Image.open(path) as mask:
        grey = mask.getchannel("A") if mask.mode == "LA" else mask
        return pixels_of(grey)[:, :, 0] >= WHITE_FROM


def near(white: torch.Tensor, reach: int) -> torch.Tensor:
    """What lies within `reach` pixels of a mask [H, W] bool, counted over all pairs."""
    rows, columns = (axis.flatten() for axis in torch.meshgrid(
        *(torch.arange(side) for side in white.shape), indexing="ij"
    ))  # fmt: skip
    points = white.nonzero()
    away = (rows[:, None] - points[:, 0]) ** 2 + (columns[:, None] - points[:, 1]) ** 2
    return (away.amin(1) <= reach**2).view(white.shape)


def drawn_request(rng: random.Random, picture: Path, masks: list[Path]) -> Request:
    return Request(
        prompt="x",
        seed=1,
        steps=4,
        strength=1.0,
        images=(str(picture),),
        mask=str(masks[0]),
        feather=rng.choice([0, 1, 8, 8, 20]),
        fill=rng.choice(list(Fill)),
        masked_only=rng.random() < 0.4,
        context=rng.choice([0, 5, 32]),
        extend=rng.choice([(0, 0, 0, 0), (0, 0, 0, 0), (3, 0, 17, 2)]),
        regions=tuple(Region("y", str(mask)) for mask in masks[1:]),
    )


@pytest.mark.parametrize("seed", range(CASES))
def test_no_pixel_outside_the_feathered_mask_changes(seed, tmp_path):
    rng = random.Random(seed)
    path = drawn_picture(rng, tmp_path)
    upright = open_picture(path)
    masks = [drawn_mask(rng, upright.size, tmp_path, f"m{i}") for i in range(rng.randint(1, 2))]
    request = drawn_request(rng, path, masks)
    frame = frame_of(request, DEMO, tmp_path)
    width, height = frame.size
    assert (width % SIDE_MULTIPLE, height % SIDE_MULTIPLE) == (0, 0)
    procedure = procedure_of(request, frame, tmp_path)
    painted = torch.frombuffer(bytearray(rng.randbytes(width * height * 3)), dtype=torch.uint8)
    after, outside = procedure.finish(painted.view(height, width, 3))

    left, top, right, bottom = request.extend
    seen = pixels_of(upright)
    white = torch.ones(seen.shape[0] + top + bottom, seen.shape[1] + left + right).bool()
    here = slice(top, top + seen.shape[0]), slice(left, left + seen.shape[1])
    white[here] = torch.stack([whites(mask) for mask in masks]).any(0)
    kept = ~near(white, request.feather)
    assert after.shape == (*white.shape, 3)
    assert torch.equal(after[here][kept[here]], seen[kept[here]])
    assert outside.changed == 0
    assert outside.pixels == int(kept.sum())
    if frame.box is None:
        assert torch.equal(after[white], painted.view(height, width, 3)[: white.shape[0]][
            :, : white.shape[1]][white])  # fmt: skip


@pytest.fixture
def given(tmp_path):
    """Write a picture of 200 x 120 pixels and a mask; return a request to repaint it."""
    picture = noisy(random.Random(1), "RGB", (200, 120))
    picture.save(tmp_path / "in.png")
    mask = Image.new("L", picture.size)
    mask.paste(255, (90, 40, 120, 60))
    mask.save(tmp_path / "mask.png")

    def make(**values) -> Request:
        usual = {"images": (str(tmp_path / "in.png"),), "mask": str(tmp_path / "mask.png")}
        return Request(prompt="x", **{"seed": 1, "steps": 8, "strength": 1.0, **usual, **values})

    return make


def test_a_window_around_the_mask_is_painted_at_the_models_own_size(given, tmp_path):
    frame = frame_of(given(masked_only=True, context=10, feather=4), TURBO, tmp_path)
    assert frame.box == (79, 30, 130, 70)
    assert frame.size == (1152, 912)
    assert frame.whole == (200, 120)
    assert frame.encodes == ((1152, 912),)


def test_a_window_always_holds_the_feather(given, tmp_path):
    frame = frame_of(given(masked_only=True, context=0, feather=20), DEMO, tmp_path)
    left, top, right, bottom = frame.box
    assert (left, top) <= (70, 20)
    assert (right, bottom) >= (140, 80)


def stripe(size: tuple[int, int], folder: Path) -> Request:
    """A request to repaint one row of pixels, or one column, along the middle of a picture."""
    noisy(random.Random(2), "L", size).save(folder / "long.png")
    mask, (width, height) = Image.new("L", size), size
    middle = (0, height // 2, width, height // 2 + 1)
    mask.paste(255, middle if width > height else (width // 2, 0, width // 2 + 1, height))
    mask.save(folder / "stripe.png")
    return Request(
        prompt="x",
        steps=4,
        images=(str(folder / "long.png"),),
        mask=str(folder / "stripe.png"),
        context=0,
        feather=0,
    )


@pytest.mark.parametrize("size", [(3000, 900), (900, 3000)])
def test_a_window_around_a_line_is_at_most_four_times_as_long_as_wide(size, tmp_path):
    request = stripe(size, tmp_path).with_values(masked_only=True)
    frame = frame_of(request, TURBO, tmp_path)
    assert sorted(extent(frame.box)) == [750, 3000]
    assert max(frame.size) <= 4.1 * min(frame.size)


@pytest.mark.parametrize("masked_only", [True, False])
@pytest.mark.parametrize("size", [(20_000, 100), (100, 20_000)])
def test_the_longest_of_pictures_is_repainted_within_the_largest_side(size, masked_only, tmp_path):
    request = stripe(size, tmp_path).with_values(masked_only=masked_only)
    frame = frame_of(request, TURBO, tmp_path)
    assert max(frame.size) <= MAX_SIDE
    assert frame.whole == size
    assert ("Only the part around the mask" in "".join(frame.notices)) is not masked_only
    procedure = procedure_of(request, frame, tmp_path)
    painted = torch.zeros(frame.size[1], frame.size[0], 3, dtype=torch.uint8)
    after, outside = procedure.finish(painted)
    assert after.shape == (size[1], size[0], 3)
    assert (outside.changed, outside.pixels) == (0, 20_000 * 99)
    assert after[whites(tmp_path / "stripe.png")].sum() == 0


def test_the_longest_of_pictures_is_redrawn_within_the_largest_side_in_its_shape(tmp_path):
    request = stripe((20_000, 400), tmp_path).with_values(mask=None)
    assert frame_of(request, TURBO, tmp_path).size == (MAX_SIDE, 160)


def test_a_picture_is_filled_up_by_its_mirror_image(given, tmp_path):
    request = given()
    frame = frame_of(request, DEMO, tmp_path)
    assert (frame.size, frame.whole) == ((208, 128), (200, 120))
    seen = []
    procedure_of(request, frame, tmp_path).prepare(lambda x: seen.append(x) or torch.zeros(1))
    assert torch.equal(seen[0][:120, :200], pixels_of(open_picture(tmp_path / "in.png")))
    assert torch.equal(seen[0][:120, 200:], seen[0][:120, 191:199].flip(1))


def test_a_thin_line_that_no_cell_begins_with_is_repainted_all_the_same(given, tmp_path):
    line = Image.new("L", (200, 120))
    line.paste(255, (0, 3, 200, 5))
    line.save(tmp_path / "line.png")
    request = given(mask=str(tmp_path / "line.png"))
    known = procedure_of(request, frame_of(request, DEMO, tmp_path), tmp_path).prepare(
        lambda _: torch.zeros(1)
    )
    assert known.levels[0, 0].sum(1).tolist() == [25.0, *[0.0] * 15]


def test_a_soft_mask_keeps_its_levels(given, tmp_path):
    Image.new("L", (200, 120), 64).save(tmp_path / "grey.png")
    soft = given(mask=str(tmp_path / "grey.png"), soft=True)
    known = procedure_of(soft, frame_of(soft, DEMO, tmp_path), tmp_path).prepare(
        lambda _: torch.zeros(1)
    )
    assert known.levels[0, 0, 0, 0].item() == pytest.approx(64 / 255)
    with pytest.raises(BadRequest, match="mask is empty"):
        frame_of(soft.with_values(soft=False), DEMO, tmp_path)


def test_each_cell_belongs_to_the_prompts_of_the_regions_on_it(given, tmp_path):
    for name, box in {"a": (0, 0, 100, 120), "b": (48, 0, 160, 120)}.items():
        mask = Image.new("L", (200, 120))
        mask.paste(255, box)
        mask.save(tmp_path / f"{name}.png")
    regions = tuple(Region(name, str(tmp_path / f"{name}.png")) for name in "ab")
    request = given(mask=None, regions=regions)
    frame = frame_of(request, DEMO, tmp_path)
    assert frame.prompts == 3
    weights = procedure_of(request, frame, tmp_path).weights
    row = weights[:, 0, 0].T.tolist()
    assert row[0] == [0, 1, 0]
    assert row[8] == [0, 0.5, 0.5]
    assert row[15] == [0, 0, 1]
    assert row[24] == [1, 0, 0]


@pytest.mark.parametrize("fill", list(Fill)[1:])
def test_a_fill_covers_what_is_under_the_mask_and_nothing_else(fill, given, tmp_path):
    request = given(fill=fill, fill_colour="#ff8000", strength=0.5)
    frame = frame_of(request, DEMO, tmp_path)
    seen = []
    procedure_of(request, frame, tmp_path).prepare(lambda x: seen.append(x) or torch.zeros(1))
    before, after = pixels_of(open_picture(tmp_path / "in.png")), seen[0][:120, :200]
    masked = torch.zeros(120, 200, dtype=torch.bool)
    masked[40:60, 90:120] = True
    assert torch.equal(after[~masked], before[~masked])
    under, around = after[masked].float(), before[30:70, 80:130].float()
    if fill is Fill.COLOUR:
        assert (after[masked] == torch.tensor([255, 128, 0])).all()
    elif fill is Fill.BLUR:
        assert under.std(0).max() < around.flatten(0, 1).std(0).min() / 3
        assert (under.mean(0) - around.flatten(0, 1).mean(0)).abs().max() < 20
    else:
        assert (after[masked] != before[masked]).any(1).float().mean() > 0.9
        assert under.std(0).min() > 60


def test_an_extended_picture_begins_with_its_mirror_image(given, tmp_path):
    request = given(mask=None, extend=(10, 0, 0, 300))
    frame = frame_of(request, DEMO, tmp_path)
    assert frame.whole == (210, 420)
    after, outside = procedure_of(request, frame, tmp_path).still()
    before = pixels_of(open_picture(tmp_path / "in.png"))
    assert outside.pixels == 210 * 420
    assert torch.equal(after[:120, 10:], before)
    assert torch.equal(after[:120, :10], before[:, 1:11].flip(1))
    assert torch.equal(after[120:239, 10:], before[:-1].flip(0))


def test_an_extension_beyond_all_bounds_is_refused(given, tmp_path):
    with pytest.raises(BadRequest, match="more than 32 million"):
        frame_of(given(extend=(4096, 4096, 4096, 4096)), DEMO, tmp_path)


def test_a_mask_of_the_same_shape_is_resized_and_that_is_said(given, tmp_path):
    Image.new("L", (100, 60), 255).save(tmp_path / "half.png")
    frame = frame_of(given(mask=str(tmp_path / "half.png")), DEMO, tmp_path)
    assert frame.notices == ("The mask of 100 x 60 was resized to the picture's 200 x 120.",)
    assert frame.masks.whole.getextrema() == (255, 255)


def test_a_size_crops_picture_and_mask_alike(given, tmp_path):
    request = given(width=64, height=64)
    frame = frame_of(request, DEMO, tmp_path)
    assert (frame.size, frame.whole) == ((64, 64), (64, 64))
    assert "cropped at its centre" in frame.notices[0]
    left, top, right, bottom = frame.masks.whole.getbbox()
    scale = 64 / 120
    assert left == pytest.approx((90 - 40) * scale, abs=1)
    assert right == pytest.approx((120 - 40) * scale, abs=1)
    assert (top, bottom) == (pytest.approx(40 * scale, abs=1), pytest.approx(60 * scale, abs=1))


@pytest.mark.parametrize(
    ("steps", "strength", "first"),
    [(8, None, 0), (8, 1.0, 0), (8, 0.6, 3), (8, 0.0, 8), (8, 0.01, 7), (10, 0.7, 3), (1, 0.5, 0)],
)
def test_a_strength_leaves_out_the_first_steps(steps, strength, first):
    assert first_step(steps, strength) == first


def test_a_turned_jpeg_and_its_mask_stand_alike(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    file = io.BytesIO()
    noisy(random.Random(3), "RGB", (96, 64)).save(file, "JPEG", exif=exif)
    (tmp_path / "in.jpg").write_bytes(file.getvalue())
    Image.new("L", (64, 96), 255).save(tmp_path / "mask.png")
    request = Request(
        prompt="x", steps=4, images=(str(tmp_path / "in.jpg"),), mask=str(tmp_path / "mask.png")
    )
    assert frame_of(request, DEMO, tmp_path).whole == (64, 96)
