"""A job goes on with less memory, and what it makes then is what it always makes."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from safetensors.torch import load_file

from engine import errors
from engine.checkpoints import load
from engine.events import Stage
from engine.images.metadata import read_recipe
from engine.memory.ladder import SAID, Rung
from engine.memory.studio import Studio
from engine.quant.products import Integer
from engine.tasks import paint
from tests.engine.inject import Told
from tests.engine.squeeze import squeezed
from tests.engine.workbench import model_of


def short() -> torch.OutOfMemoryError:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def given_up(rung: Rung, stage: Stage) -> str:
    return f"Memory ran out while {stage}: {SAID[rung]}."


class Failing:
    """Stands in for a function of `engine.tasks.paint`, and fails so often before it works."""

    def __init__(self, monkeypatch, name: str, times: int) -> None:
        self._real = getattr(paint, name)
        self.calls = 0
        self._times = times
        monkeypatch.setattr(paint, name, self)

    def __call__(self, *arguments):
        self.calls += 1
        if self.calls <= self._times:
            raise short()
        return self._real(*arguments)


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_a_job_gives_up_one_thing_after_another_and_tells_each(bench, ask, monkeypatch, times):
    request = ask(count=4)
    golden = bench.paint(request)
    rungs = [Rung.STREAM, Rung.SMALLER_BATCH, Rung.INT8][:times]
    failing, told = Failing(monkeypatch, "denoise", times), Told()
    result = bench.run(request, told)
    batches = {0: 1, 1: 1, 2: 2, 3: 2}[times]
    assert failing.calls == times + batches
    said = [given_up(rung, Stage.DENOISING) for rung in rungs]
    assert [warning for warning in told.warnings if warning.startswith("Memory")] == said
    assert [w for w in result.warnings if w.startswith("Memory")] == said
    for index, picture in enumerate(result.pictures):
        recipe = read_recipe(picture.path)
        assert [w for w in recipe["warnings"] if w.startswith("Memory")] == said
        assert (recipe["request"]["seed"], picture.width, picture.height) == (7 + index, 64, 64)
        assert recipe["precision"] == ("int8" if Rung.INT8 in rungs else "fp32")
        assert ("streamed" in recipe["plan"]) == (times > 0)
    assert bench.paint(request) == golden


def test_a_job_gives_in_after_three_retries_with_advice(bench, ask, monkeypatch):
    golden = bench.paint(ask())
    failing, told = Failing(monkeypatch, "denoise", 99), Told()
    with pytest.raises(errors.OutOfMemory, match=r"ran out while denoising \(64 x 64, ") as failure:
        bench.run(ask(count=4), told)
    assert "Choose" in failure.value.action
    assert failing.calls == 4
    assert model_of(bench) is None
    monkeypatch.undo()
    assert bench.paint(ask()) == golden


def test_a_precision_that_was_asked_for_stays(bench, ask, monkeypatch):
    failing = Failing(monkeypatch, "denoise", 99)
    with pytest.raises(errors.OutOfMemory):
        bench.run(ask(precision="bf16"))
    assert failing.calls == 2


def test_a_shortage_while_decoding_does_not_denoise_again(bench, ask, monkeypatch, tmp_path):
    latents = tmp_path / "latents.safetensors"
    golden = bench.run(ask(count=2), latents=latents)
    before = load_file(latents)["latents"]
    denoised = Failing(monkeypatch, "denoise", 0)
    decoded, told = Failing(monkeypatch, "to_picture_range", 1), Told()
    result = bench.run(ask(count=2), told, latents=latents)
    assert (denoised.calls, decoded.calls) == (1, 3)
    assert told.warnings[-1] == given_up(Rung.TILE, Stage.DECODING)
    assert torch.equal(load_file(latents)["latents"], before)
    assert result.nfe == golden.nfe


def test_a_concession_that_moves_no_weight_reads_none_again(bench, ask, monkeypatch):
    bench.run(ask())
    model = model_of(bench)
    Failing(monkeypatch, "to_picture_range", 1)
    bench.run(ask())
    assert model_of(bench) is model
    assert model.plan.decode.rows is not None
    bench.run(ask())
    assert model_of(bench) is model
    assert model.plan.decode.rows is None


def test_a_model_that_lies_elsewhere_for_one_job_is_not_kept_for_the_next(bench, ask, monkeypatch):
    Failing(monkeypatch, "denoise", 1)
    assert "streamed" in bench.run(ask()).plan
    assert model_of(bench) is None
    assert "streamed" not in bench.run(ask()).plan


def test_nor_is_it_when_that_job_is_cancelled(bench, ask, monkeypatch):
    def stop(told: Told) -> bool:
        stages = [step.stage for step in told.steps]
        return stages.count(Stage.LOADING) == 2 and stages[-1] is Stage.DENOISING

    Failing(monkeypatch, "denoise", 1)
    with pytest.raises(errors.Cancelled):
        bench.run(ask(), Told(stop))
    assert model_of(bench) is None


@pytest.mark.parametrize("stage", ["denoise", "to_picture_range"])
def test_nothing_of_a_failed_attempt_is_left_when_the_next_one_begins(
    bench, ask, monkeypatch, stage
):
    alive: list[weakref.ref] = []
    real = getattr(paint, stage)

    def once(*arguments):
        held = [argument for argument in arguments if isinstance(argument, torch.Tensor)]
        if alive:
            assert [reference() for reference in alive] == [None] * len(alive)
            return real(*arguments)
        alive.extend(weakref.ref(tensor) for tensor in held)
        raise short()

    monkeypatch.setattr(paint, stage, once)
    gc.disable()
    try:
        bench.run(ask())
    finally:
        gc.enable()
    assert alive


def test_a_model_is_gone_before_it_is_loaded_another_way(bench, ask, monkeypatch):
    bench.run(ask())
    transformer = weakref.ref(model_of(bench).transformer)
    real, seen = Studio.model, []

    def model(self, *arguments):
        seen.append(transformer() is None)
        return real(self, *arguments)

    monkeypatch.setattr(Studio, "model", model)
    Failing(monkeypatch, "denoise", 1)
    bench.run(ask())
    assert seen == [False, True]


SHARES = [0.0, 0.5]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_a_streamed_model_paints_the_same_latents_bit_for_bit(
    bench, ask, monkeypatch, tmp_path, precision
):
    # Where weights travel, others of the ways to multiply whole numbers serve than where they stay.
    monkeypatch.setattr(load, "choose", lambda _device, **_: Integer())
    request = ask(
        steps=2, count=2, guidance_scale=2.0, cfg_truncation=0.5, negative="x", precision=precision
    )
    path = tmp_path / "latents.safetensors"
    whole = bench.run(request, latents=path)
    assert "whole model resident" in whole.plan
    plain = load_file(path)["latents"]
    for share in SHARES:
        with squeezed(monkeypatch, share) as plans:
            for _ in range(2):
                bench.run(request, latents=path)
                assert torch.equal(load_file(path)["latents"], plain), share
        assert plans[0].streamed
    bench.studio.forget()


def test_a_cancelled_job_of_a_streamed_model_stops_wherever_it_is(bench, ask, monkeypatch):
    request = ask(steps=2, count=2)
    with squeezed(monkeypatch, 0.0):
        golden = bench.paint(request)
        for path in bench.folder.iterdir():
            path.unlink()
        point = 0
        while cancelled_at(bench, request, point):
            assert bench.files == []
            point += 3
        assert point > 20
        assert bench.paint(request) == golden
        bench.studio.forget()


def cancelled_at(bench, request, point: int) -> bool:
    left = [point]

    def stop(_told: Told) -> bool:
        left[0] -= 1
        return left[0] < 0

    try:
        bench.run(request, Told(stop))
    except errors.Cancelled:
        return True
    return False
