"""One job from start to finish, on the CPU, with a tiny model."""

from __future__ import annotations

import gc
import time
import weakref
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from engine import errors
from engine.events import Stage
from engine.hardware import Rates
from engine.images.metadata import read_recipe, request_from_recipe
from engine.jobs.order import Order, Output
from engine.run import execute
from engine.settings import Attention
from engine.tasks import paint
from engine.tasks.text_to_image import noise
from tests.engine.inject import OutOfMemoryAt, Told
from tests.engine.workbench import Bench, model_of


def test_a_picture_is_saved_with_its_recipe(bench, ask, tiny_model):
    (picture,) = bench.run(ask("a cat", steps=2)).pictures
    assert picture.path.parent == bench.folder
    with Image.open(picture.path) as image:
        assert image.size == (picture.width, picture.height) == (64, 64)
    recipe = read_recipe(picture.path)
    assert recipe["model_hash"] == model_of(bench).checkpoint.digest
    assert recipe["precision"] == "fp32"
    request, _ = request_from_recipe(recipe)
    assert (request.prompt, request.seed, request.steps, request.shift) == ("a cat", 7, 2, 3.0)
    assert request.model == tiny_model.name


def test_the_result_tells_what_it_took(bench, ask):
    result = bench.run(ask(steps=3))
    assert result.nfe == 3
    assert set(result.seconds) == {*Stage, "total"} - {Stage.PREPARING}
    assert all(seconds > 0 for seconds in result.seconds.values())
    assert 0.05 < result.peak_memory < 16
    assert result.plan.startswith("cpu fp32; whole model resident")


@pytest.mark.parametrize(("truncation", "nfe"), [(1.0, 8), (0.0, 5), (0.4, 7)])
def test_steps_with_guidance_count_two_evaluations(bench, ask, truncation, nfe):
    asked = ask(steps=4, guidance_scale=3.0, cfg_truncation=truncation)
    assert bench.run(asked).nfe == nfe


def test_the_evaluations_are_counted_right(bench, ask, monkeypatch):
    bench.run(ask(steps=1))
    calls = []
    forward = type(model_of(bench).transformer).forward
    monkeypatch.setattr(
        type(model_of(bench).transformer),
        "forward",
        lambda self, latents, *rest: (calls.append(len(latents)), forward(self, latents, *rest))[1],
    )
    result = bench.run(ask(steps=4, guidance_scale=3.0, cfg_truncation=0.4))
    assert sum(calls) == result.nfe


def test_noise_of_a_picture_depends_on_its_own_seed_alone():
    several = noise(5, 3, 96, 64)
    assert several.shape == (3, 16, 8, 12)
    own = torch.randn((1, 16, 8, 12), generator=torch.Generator().manual_seed(7))
    assert torch.equal(several[2:], own)


def test_the_same_seed_gives_the_same_picture_bit_for_bit(bench, ask, tmp_path):
    golden = bench.paint(ask(count=2))
    assert bench.paint(ask(count=2)) == golden
    (tmp_path / "fresh").mkdir()
    assert Bench(tmp_path / "fresh").paint(ask(count=2)) == golden


def test_other_jobs_in_between_change_nothing(bench, ask, other_model):
    golden = bench.paint(ask())
    bench.paint(ask("another prompt", width=96, guidance_scale=2.0, negative="x"))
    bench.paint(ask(model=str(other_model)))
    assert bench.paint(ask()) == golden


def test_another_seed_gives_another_picture(bench, ask):
    assert bench.paint(ask(seed=8)) != bench.paint(ask(seed=9))


def test_a_picture_is_the_same_alone_and_in_a_batch_to_rounding(bench, ask):
    together = bench.paint(ask(count=3))
    alone = [bench.paint(ask(seed=7 + i))[0] for i in range(3)]
    for one, other in zip(together, alone, strict=True):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) <= 1


def test_a_picture_of_a_batch_can_be_made_again_from_its_recipe(bench, ask, tiny_model):
    result = bench.run(ask(count=3))
    request, _ = request_from_recipe(read_recipe(result.pictures[2].path))
    (again,) = bench.paint(request.with_values(model=str(tiny_model)))
    saved = Image.open(result.pictures[2].path).tobytes()
    assert max(abs(a - b) for a, b in zip(again, saved, strict=True)) <= 1


def test_a_drawn_seed_is_told(bench, ask):
    first, second = (bench.run(ask(seed=None)).pictures[0].recipe["request"] for _ in range(2))
    assert first["seed"] != second["seed"]


def test_a_named_file_is_written_and_several_are_numbered(bench, ask):
    bench.run(ask(), name="one.png")
    bench.run(ask(count=2), name="two.png")
    assert bench.files == ["one.png", "two-1.png", "two-2.png"]


def test_latents_are_kept_as_they_stand_before_decoding(bench, ask, tmp_path):
    bench.run(ask(count=2, width=96), name="x.png", latents=tmp_path / "l.safetensors")
    (latents,) = load_file(tmp_path / "l.safetensors").values()
    assert list(load_file(tmp_path / "l.safetensors")) == ["latents"]
    assert (latents.dtype, tuple(latents.shape)) == (torch.float32, (2, 16, 8, 12))


def stages_of(told: Told) -> list[str]:
    return list(dict.fromkeys(step.stage for step in told.steps))


def test_progress_goes_through_every_stage_in_order(bench, ask):
    told = Told()
    bench.run(ask(steps=4), told)
    assert stages_of(told) == [stage for stage in Stage if stage is not Stage.PREPARING]
    # A preview tells the same step once more.
    painted = [s for s in told.steps if s.stage is Stage.DENOISING and s.total]
    steps = [step for step in painted if step.preview is None]
    assert [step.step for step in steps] == [0, 1, 2, 3, 4]
    assert steps[0].eta is None
    assert steps[1].eta > 0
    assert steps[-1].eta == 0


def test_a_slow_job_shows_previews_but_not_too_many(bench, ask, monkeypatch):
    told = Told()
    bench.run(ask(steps=1))
    forward = type(model_of(bench).transformer).forward

    def slowly(self, *args):
        time.sleep(0.02)
        return forward(self, *args)

    monkeypatch.setattr(type(model_of(bench).transformer), "forward", slowly)
    bench.run(ask(steps=40), told)
    previews = [step.preview for step in told.steps if step.preview]
    assert 1 <= len(previews) <= 5
    assert all(preview.startswith(b"\xff\xd8") for preview in previews)
    numbers = [step.step for step in told.steps if step.stage is Stage.DENOISING]
    assert numbers == sorted(numbers)


def test_without_previews_none_is_made_and_the_picture_is_the_same(bench, ask):
    told, request = Told(), ask(steps=4)
    order = Order(job="x", request=request, output=Output(folder=bench.folder), preview_seconds=0)
    quiet = execute(order, bench.studio, told.hooks)
    often = execute(replace(order, preview_seconds=1e-9), bench.studio, (seen := Told()).hooks)
    assert not [step for step in told.steps if step.preview]
    assert [step for step in seen.steps if step.preview]
    first, second = (Image.open(r.pictures[0].path).tobytes() for r in (quiet, often))
    assert first == second


def test_another_attention_loads_the_model_anew(bench, ask):
    order = Order(job="x", request=ask(), output=Output(folder=bench.folder))
    execute(order, bench.studio, Told().hooks)
    before = model_of(bench)
    execute(order, bench.studio, Told().hooks)
    assert model_of(bench) is before
    execute(replace(order, attention=Attention.PYTORCH), bench.studio, Told().hooks)
    assert model_of(bench) is not before
    assert model_of(bench).place.attention is Attention.PYTORCH


def at_step_two(told: Told) -> bool:
    return any(step.step == 2 for step in told.steps)


def checks_of_a_job(bench: Bench, request) -> int:
    seen = []
    told = Told(stop=lambda _t: (seen.append(1), False)[1])
    bench.run(request, told)
    return len(seen)


def test_a_cancelled_job_stops_wherever_it_is_and_leaves_no_file(bench, ask, tmp_path):
    request = ask(count=2, steps=3)
    golden = bench.paint(request)
    total = checks_of_a_job(bench, request)
    assert total > 20
    for path in bench.folder.iterdir():
        path.unlink()
    for point in range(total):
        left = [point]

        def stop(_told, left=left):
            left[0] -= 1
            return left[0] < 0

        with pytest.raises(errors.Cancelled):
            bench.run(request, Told(stop), latents=tmp_path / "l.safetensors")
        assert bench.files == []
    assert not (tmp_path / "l.safetensors").exists()
    assert bench.paint(request) == golden


def test_a_cancel_is_heard_within_one_step(bench, ask):
    told = Told(stop=lambda t: any(s.step >= 3 for s in t.steps if s.stage is Stage.DENOISING))
    with pytest.raises(errors.Cancelled):
        bench.run(ask(steps=50), told)
    assert max(step.step for step in told.steps) == 3


def test_a_cancel_is_heard_within_one_strip(bench, ask, monkeypatch):
    monkeypatch.setattr("engine.memory.choices.STRIP_PIXELS", 128 * 16)
    asked = []

    def stop(told):
        asked.append(stages_of(told)[-1:] == [Stage.DECODING])
        return sum(asked) > 10

    with pytest.raises(errors.Cancelled):
        bench.run(ask(width=128, height=128, steps=1), Told(stop))
    assert sum(asked) == 11


def test_latents_are_freed_after_a_cancel_and_after_a_failure(bench, ask, monkeypatch):
    alive = []
    made = paint.noise

    def watched(*args):
        latents = made(*args)
        alive.append(weakref.ref(latents))
        return latents

    monkeypatch.setattr(paint, "noise", watched)
    told = Told(stop=at_step_two)
    try:
        bench.run(ask(), told)
    except errors.Cancelled as error:
        error.__traceback__ = None
    try:
        with OutOfMemoryAt(400, last=10**9):
            bench.run(ask("another"))
    except errors.OutOfMemory as error:
        error.__traceback__ = None
    gc.collect()
    assert len(alive) == 2
    assert [reference() for reference in alive] == [None, None]


def test_memory_is_back_where_it_was_after_cancelled_jobs(bench, ask):
    from engine.memory.probe import anonymous_gib

    request = ask(width=256, height=256, steps=3)
    told = Told(stop=at_step_two)
    for round_number in range(12):
        if round_number == 4:
            before = anonymous_gib()
        with pytest.raises(errors.Cancelled):
            bench.run(request, told)
        told.steps.clear()
        gc.collect()
    assert anonymous_gib() - before < 4 / 1024


def poison(network: torch.nn.Module, value: float) -> None:
    with torch.no_grad():
        next(iter(network.parameters())).fill_(value)


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ("text_encoder", "Reading the prompt in fp32"),
        ("transformer", "Step 1 of 3 while denoising in fp32"),
        ("vae", "Decoding the picture in fp32"),
    ],
)
def test_numbers_that_are_no_picture_are_an_error_that_names_the_stage(bench, ask, network, says):
    bench.run(ask(steps=1), name="good.png")
    broken = getattr(model_of(bench), network)
    poison(broken.decoder if network == "vae" else broken, float("nan"))
    with pytest.raises(errors.NumericalError, match=says):
        bench.run(ask("a new prompt"), name="bad.png")
    assert bench.files == ["good.png"]


@pytest.mark.parametrize("step", range(4))
def test_a_number_gone_wrong_at_any_step_stops_the_job_there(bench, ask, step, monkeypatch):
    bench.run(ask(steps=1), name="good.png")
    kind = type(model_of(bench).transformer)
    forward, calls = kind.forward, []

    def broken(self, *args):
        calls.append(1)
        out = forward(self, *args)
        return out * float("inf") if len(calls) == step + 1 else out

    monkeypatch.setattr(kind, "forward", broken)
    with pytest.raises(errors.NumericalError, match=f"Step {step + 1} of 4"):
        bench.run(ask(steps=4), name="bad.png")
    assert len(calls) == step + 1
    assert bench.files == ["good.png"]


def paint_level(bench: Bench, ask, level: float, told: Told) -> None:
    bench.run(ask(steps=1), name="first.png")
    head = model_of(bench).vae.decoder.out.conv
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(level)
    bench.run(ask(), told, name="second.png")


def test_a_black_picture_is_an_error(bench, ask):
    with pytest.raises(errors.NumericalError, match="black picture in fp32"):
        paint_level(bench, ask, -1.0, Told())
    assert bench.files == ["first.png"]


def test_a_picture_of_one_colour_is_saved_with_a_warning(bench, ask):
    told = Told()
    paint_level(bench, ask, 1.0, told)
    assert told.warnings[-1].startswith("The picture is one even colour")
    assert bench.files == ["first.png", "second.png"]


def test_a_prompt_is_read_once(bench, ask, monkeypatch):
    bench.run(ask("one", guidance_scale=2.0))
    kind = type(model_of(bench).text_encoder)
    read = []
    forward = kind.forward
    monkeypatch.setattr(
        kind, "forward", lambda self, ids: (read.append(ids.shape), forward(self, ids))[1]
    )
    bench.run(ask("one", guidance_scale=3.0, seed=1))
    assert read == []
    bench.run(ask("two", guidance_scale=3.0))
    assert len(read) == 1


def test_a_prompt_is_read_without_padding(bench, ask, monkeypatch):
    bench.run(ask("x"))
    kind = type(model_of(bench).text_encoder)
    read, forward = [], kind.forward
    monkeypatch.setattr(
        kind, "forward", lambda self, ids: (read.append(ids.tolist()), forward(self, ids))[1]
    )
    bench.run(ask("abc"))
    (tokens,) = read[0]
    text = model_of(bench).tokenizer.decode(tokens, skip_special_tokens=False)
    assert text.replace(" ", "").replace("Ċ", "\n") == (
        "<|im_start|>user\nabc<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_long_prompt_is_cut_with_a_warning(bench, ask):
    told = Told()
    bench.run(ask("word " * 200), told)
    assert any(
        warning.startswith("The prompt has 10") and "first 512" in warning
        for warning in told.warnings
    )
    told.warnings.clear()
    bench.run(ask("word " * 200), told)
    assert any("first 512" in warning for warning in told.warnings)


def test_captions_of_many_prompts_do_not_pile_up(bench, ask):
    for number in range(40):
        bench.run(ask(f"prompt {number}", steps=1))
    assert len(model_of(bench).captions) == 32
    assert model_of(bench).recall("prompt 39", "") is not None
    assert model_of(bench).recall("prompt 0", "") is None


def test_one_model_is_kept_and_the_one_before_is_freed(bench, ask, other_model):
    bench.run(ask())
    first = weakref.ref(model_of(bench).transformer)
    bench.run(ask())
    assert model_of(bench).transformer is first()
    bench.run(ask(model=str(other_model)))
    gc.collect()
    assert first() is None


def test_another_precision_loads_the_model_anew(bench, ask):
    bench.run(ask())
    result = bench.run(ask(precision="bf16"))
    assert result.precision == "bf16"
    assert {p.dtype for p in model_of(bench).transformer.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    "values",
    [
        {"sampler": "nonesuch"},
        {"device": "cuda:7"},
        {"model": "nonesuch"},
        {"seed": 2**63 - 1, "count": 2},
    ],
)
def test_a_wrong_request_is_refused_before_a_weight_is_read(bench, ask, values):
    with pytest.raises((errors.BadRequest, errors.NotFound)):
        bench.run(ask(**values))
    assert model_of(bench) is None


def test_a_memory_limit_without_a_graphics_card_is_said_to_have_no_effect(bench, ask):
    told = Told()
    order = Order(job="x", request=ask(), output=Output(folder=bench.folder), vram_gb=4.0)
    execute(order, bench.studio, told.hooks)
    assert "A limit of 4 GB has no effect on the device cpu." in told.warnings


@pytest.mark.parametrize(
    "values",
    [
        {"steps": 1},
        {"steps": 60},
        {"guidance_scale": 30.0},
        {"prompt": ""},
        {"prompt": "猫 🐈 кот"},
        {"prompt": "x" * 10_000},
        {"width": 512, "height": 64},
        {"width": 80, "height": 112},
        {"shift": 0.01},
        {"cfg_normalization": 1.0, "guidance_scale": 5.0},
    ],
)
def test_extreme_requests_give_a_picture(bench, ask, values):
    (picture,) = bench.run(ask(**values)).pictures
    assert picture.path.exists()


def test_the_predicted_time_is_told_before_the_first_step(bench, ask, monkeypatch):
    slow = Rates(operations={"fp32": 1e6, "bf16": 1e6, "int8": 1e6})
    monkeypatch.setattr("engine.run.known_rates", lambda device, folder: slow)
    told = Told()
    bench.run(ask(), told)
    left = {step.stage: step.eta for step in told.steps if not step.total}
    assert left[Stage.LOADING] == left[Stage.ENCODING] > 60
    assert left[Stage.SAVING] is None
