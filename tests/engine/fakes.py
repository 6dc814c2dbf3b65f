"""Painters that need no model: they do what the prompt says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from engine import errors, events
from engine.hardware import Choice, Tuning
from engine.jobs.order import Hooks, Order, Step, WorkerState
from engine.service.links import ThreadLink
from engine.worker import Painter

STATE = WorkerState(device="fake", memory="none")
TAKEN = Choice(subject="block", name="fused", seconds=0.5, taken=True)
TUNING = Tuning(device="fake", choices=(TAKEN,), seconds=1.5)


def tune(data_dir: Path, check: Callable[[], None]) -> Tuning:
    """Find one way, unless the folder's name says that something goes wrong."""
    check()
    if data_dir.name == "wrong":
        raise errors.OutOfMemory("Too little.", "Close something.")
    return TUNING


def result() -> events.Result:
    return events.Result(
        pictures=(), seconds={"total": 0.0}, nfe=1, precision="fp32", plan="", peak_memory=0.0
    )


class Script:
    """A painter for tests: `steps N` paints N steps, `fail` fails, `hold` waits for `release`."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.painted: list[str] = []
        self.pause = 0.0

    def painter(self) -> Painter:
        return Painter(paint=self.paint, state=lambda: STATE, tune=tune)

    def link(self) -> ThreadLink:
        return ThreadLink(self.painter)

    def paint(self, order: Order, hooks: Hooks) -> events.Result:
        self.painted.append(order.job)
        verb, _, rest = order.request.prompt.partition(" ")
        if verb == "fail":
            raise errors.NumericalError("No picture.", "Try again.")
        if verb == "bug":
            raise ZeroDivisionError("oops")
        if verb == "exit":
            raise SystemExit(rest)
        if verb == "lost":
            raise errors.WorkerLost("The card failed.")
        if verb == "warn":
            hooks.warn(rest)
        if verb == "hold":
            self._hold(hooks)
        for step in range(int(rest or 0) if verb == "steps" else 0):
            _stop_if(hooks)
            hooks.emit(Step(stage=events.Stage.DENOISING, step=step))
            time.sleep(self.pause)
        return result()

    def _hold(self, hooks: Hooks) -> None:
        while not self.release.wait(0.005):
            _stop_if(hooks)


def _stop_if(hooks: Hooks) -> None:
    if hooks.cancelled():
        raise errors.Cancelled("stopped")
