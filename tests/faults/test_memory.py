"""Memory may run out anywhere: the job ends well or with advice, and the next one is untouched."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine import Request, errors
from engine.events import Stage
from engine.images.preview import PROJECTION_SHAPE
from engine.memory.ladder import RETRIES
from engine.memory.studio import PREVIEW_FILE
from tests.engine.inject import OutOfMemoryAt, Told
from tests.engine.squeeze import squeezed
from tests.engine.workbench import Bench
from tests.tiny import save_tiny_model

SAMPLES = {Stage.LOADING: 4, Stage.ENCODING: 4, Stage.DENOISING: 16, Stage.DECODING: 8}
TOLD = "Memory ran out while"


@pytest.fixture(scope="session")
def quick_model(tmp_path_factory) -> Path:
    """A tiny model whose preview need not be fitted, which is most of the work of loading it."""
    folder = tmp_path_factory.mktemp("tiny-quick")
    save_tiny_model(folder)
    save_file({"projection": torch.zeros(PROJECTION_SHAPE)}, folder / PREVIEW_FILE)
    return folder


@pytest.fixture
def asked(quick_model) -> Request:
    """Two steps, one of them with guidance, so that both prompts are read."""
    return Request(
        prompt="a red circle",
        model=str(quick_model),
        seed=7,
        steps=2,
        width=64,
        height=64,
        guidance_scale=2.0,
        cfg_truncation=0.5,
    )


@pytest.fixture
def fresh(tmp_path) -> Callable[[], Bench]:
    """Make a studio that has loaded no model, read no prompt and kept no file of slabs."""
    numbers = count()

    def make() -> Bench:
        folder = tmp_path / str(next(numbers)) / "pictures"
        folder.mkdir(parents=True)
        return Bench(folder)

    return make


def operations(bench: Bench, request) -> dict[Stage, range]:
    """The numbers of the operations of each stage of a job."""
    begins: dict[Stage, int] = {}
    with OutOfMemoryAt(-1) as mode:
        bench.run(request, Told(on_step=lambda s: begins.setdefault(s.stage, mode.count + 1)))
    ends = [*list(begins.values())[1:], mode.count + 1]
    return {
        stage: range(begin, end) for (stage, begin), end in zip(begins.items(), ends, strict=True)
    }


def fail_well(bench: Bench, request, first: int, last: float | None = None) -> list[str]:
    """Run a job that runs out of memory; return what it was told to have given up."""
    told = Told()
    try:
        with OutOfMemoryAt(first, last):
            bench.run(request, told)
    except errors.OutOfMemory as error:
        assert error.action.startswith("Choose")
        assert bench.studio._model is None
    given_up = [warning for warning in told.warnings if warning.startswith(TOLD)]
    assert len(given_up) <= RETRIES
    return given_up


def sweep_cold(fresh, request, chosen) -> None:
    """Run out of memory at `chosen` operations of loading and reading; the next job is the same."""
    first = fresh()
    golden = first.paint(request)
    first.studio.forget()
    bench = fresh()
    spans = operations(bench, request)
    bench.studio.forget()
    for stage in (Stage.LOADING, Stage.ENCODING):
        for number in chosen(stage, spans[stage]):
            bench = fresh()
            fail_well(bench, request, number)
            assert bench.paint(request) == golden, f"after {stage}, operation {number}"
            bench.studio.forget()


def sweep_warm(bench: Bench, request, chosen) -> None:
    """Run out of memory at `chosen` operations of a job whose model and prompts are there."""
    golden = bench.paint(request)
    for stage, span in operations(bench, request).items():
        for number in chosen(stage, span):
            fail_well(bench, request, number)
            assert bench.paint(request) == golden, f"after {stage}, operation {number}"
    bench.studio.forget()


def some(stage: Stage, span: range) -> list[int]:
    """Some operations of a stage, always the same, with the first and the last."""
    drawn = random.Random(f"{stage}").sample(span, min(len(span), SAMPLES.get(stage, 4)))
    return sorted({*drawn, *span[:1], *span[-1:]})


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_a_shortage_while_loading_leaves_the_next_job_as_it_was(fresh, asked, monkeypatch, share):
    with squeezed(monkeypatch, share):
        sweep_cold(fresh, asked, some)


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_a_shortage_while_painting_leaves_the_next_job_as_it_was(fresh, asked, monkeypatch, share):
    with squeezed(monkeypatch, share):
        sweep_warm(fresh(), asked, some)


@pytest.mark.slow
def test_a_shortage_at_every_third_operation_of_a_job_leaves_the_next_one_as_it_was(
    fresh, asked, monkeypatch
):
    with squeezed(monkeypatch, 1.0):
        sweep_warm(fresh(), asked, lambda _stage, span: span[::3])


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_a_shortage_that_does_not_end_is_told_after_three_retries_at_most(
    fresh, asked, monkeypatch, share
):
    with squeezed(monkeypatch, share):
        bench = fresh()
        golden = bench.paint(asked)
        for span in operations(bench, asked).values():
            told = pytest.raises(errors.OutOfMemory, match="ran out while")
            with told, OutOfMemoryAt(span[:1].start, float("inf")):
                bench.run(asked)
            assert bench.paint(asked) == golden
        bench.studio.forget()
