"""Jobs on the processor with as little memory as a graphics card may have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from engine.memory import plan as planner
from engine.memory.work import Plan
from engine.tasks import planning


@contextmanager
def squeezed(monkeypatch, share: float) -> Iterator[list[Plan]]:
    """Give jobs inside the least memory they can do with, and a `share` of the rest they would use.

    Yields the plans that are made.
    """
    made: list[Plan] = []

    def squeeze(work, sizes, footprint, budget, *rest) -> Plan:
        whole = planner.make_plan(work, sizes, footprint, budget)
        least = planner.least_bytes(work, sizes, footprint, budget)
        held = least + int(share * (whole.peak_bytes - least))
        tight = replace(budget, device_bytes=held)
        made.append(planner.make_plan(work, sizes, footprint, tight, *rest))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(planning, "make_plan", squeeze)
        yield made
