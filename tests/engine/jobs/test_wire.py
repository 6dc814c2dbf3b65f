"""Messages survive the way between the processes, and nothing else gets through."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from engine import errors, events
from engine.hardware import Card, Choice, Host, Rates, Tuning
from engine.jobs import wire
from engine.jobs.order import (
    CancelOrder,
    MeasureOrder,
    Order,
    Output,
    Tuned,
    TuneOrder,
    WorkerBroken,
    WorkerState,
)
from engine.request import Lora, Precision, Request
from engine.settings import Profile

REPORT = errors.report(errors.OutOfMemory("Too large.", "Use less."))
RESULT = events.Result(
    pictures=(
        events.Picture(
            path=Path("out") / "ä b.png",
            recipe={"request": {"seed": 2**63 - 1, "note": None}, "warnings": ["x\ny"]},
            width=64,
            height=96,
            outside=events.Outside(changed=0, pixels=812_345),
        ),
    ),
    seconds={"total": 1.5},
    skipped=(3, 5),
    nfe=8,
    precision="fp32",
    plan="whole",
    peak_memory=0.25,
    warnings=("careful",),
)
CHOICE = Choice(subject="a", name="b", seconds=1.0, taken=True)
MESSAGES = [
    Order(
        job="1",
        request=Request(
            prompt="zwölf \u2028 }{", precision=Precision.BF16, loras=(Lora("l", 0.5),)
        ),
        output=Output(folder=Path("a"), name="b.png", latents=Path("c")),
        vram_gb=4.5,
        profile=Profile.HIGH_RAM_LOW_VRAM,
    ),
    CancelOrder(job="1"),
    WorkerState(device="CPU", memory="1 GiB"),
    WorkerState(
        device="Card",
        memory="1 GiB",
        total_bytes=2**33,
        precision=Precision.INT8,
        name="cuda:1",
        card=Card(name="Card", capability=(8, 6), total_bytes=2**33, free_bytes=2**32),
        host=Host(total_bytes=2**34, available_bytes=2**33, cores=8),
        rates=Rates(link=2.5e10, disk=3e9, operations={"int8": 1e14}),
    ),
    MeasureOrder(data_dir=Path("d")),
    TuneOrder(data_dir=Path("d")),
    Tuned(tuning=Tuning(device="x", choices=(CHOICE,), seconds=2.0)),
    Tuned(error=REPORT),
    WorkerBroken(error=REPORT),
    events.Started(job="1"),
    events.Progress(job="1", stage=events.Stage.DECODING, step=1, total=2, preview=b"\xff\0\n"),
    events.Warned(job="1", message="line\nbreak"),
    events.Done(job="1", result=RESULT),
    events.Failed(job="1", error=REPORT),
    events.Cancelled(job="1"),
]


def parts_of(kind: object) -> Iterator[type]:
    """The dataclasses and enums among a type and its arguments."""
    if inspect.isclass(kind) and (is_dataclass(kind) or issubclass(kind, Enum)):
        yield kind
    for argument in get_args(kind):
        yield from parts_of(argument)


def test_whatever_a_message_can_hold_is_known_to_both_sides():
    known = {*wire.RECORDS.values(), *wire.ENUMS.values()}
    held = {
        part
        for record in wire.RECORDS.values()
        for name, hint in get_type_hints(record).items()
        if name in {field.name for field in fields(record)}
        for part in parts_of(hint)
    }
    assert events.Stage in held
    assert held <= known


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_every_message_arrives_as_it_was_sent(message):
    line = wire.encode(message)
    assert line.count(b"\n") == 1
    assert wire.decode(line) == message


def test_a_stage_arrives_as_a_stage():
    arrived = wire.decode(wire.encode(events.Progress(job="1", stage=events.Stage.SAVING)))
    assert arrived.stage is events.Stage.SAVING


@pytest.mark.parametrize("message", [errors.BugError("x"), object(), float("nan")])
def test_what_is_no_message_is_not_sent(message):
    with pytest.raises((TypeError, ValueError)):
        wire.encode(message)


@pytest.mark.parametrize("kind", ["system", "Popen", "type", ""])
def test_a_line_cannot_name_a_class_of_its_own(kind):
    with pytest.raises(ValueError, match="is not known"):
        wire.decode(json.dumps({wire.KIND: kind, "value": "x"}).encode())
