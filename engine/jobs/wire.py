"""Messages between the page's process and the painting process: one line of JSON each.

Nothing is pickled, so neither side can be made to run code by what it reads.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from engine import events
from engine.errors import ErrorReport
from engine.hardware import Card, Choice, Host, Rates, Tuning
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
from engine.request import Fill, LongPrompt, Lora, Precision, Region, Request, Task
from engine.settings import Attention, FileType, Profile

KIND = "~kind"
"""Marks a JSON object that stands for a value of another type."""

RECORDS: Mapping[str, type] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            Order,
            Output,
            Request,
            Lora,
            Region,
            CancelOrder,
            WorkerState,
            WorkerBroken,
            Card,
            Host,
            Rates,
            Choice,
            Tuning,
            TuneOrder,
            Tuned,
            MeasureOrder,
            events.Started,
            events.Progress,
            events.Warned,
            events.Done,
            events.Failed,
            events.Cancelled,
            events.Result,
            events.Picture,
            events.Outside,
            ErrorReport,
        )
    }
)
ENUMS: Mapping[str, type[StrEnum]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            events.Stage,
            Precision,
            Profile,
            Task,
            Fill,
            LongPrompt,
            FileType,
            Attention,
        )
    }
)


def encode(message: object) -> bytes:
    """Return a message as one line; raise TypeError for what is not of `RECORDS`."""
    return json.dumps(_pack(message), allow_nan=False).encode() + b"\n"


def decode(line: bytes) -> object:
    """Return the message of a line; raise ValueError for what `encode` never writes."""
    return _unpack(json.loads(line))


def _pack(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value).__name__
        if RECORDS.get(kind) is not type(value):
            raise TypeError(f"{kind} does not travel between processes")
        packed = {f.name: _pack(getattr(value, f.name)) for f in fields(value)}
        return {KIND: kind, **packed}
    if isinstance(value, StrEnum):
        return {KIND: type(value).__name__, "value": value.value}
    if isinstance(value, Path):
        return {KIND: "Path", "value": str(value)}
    if isinstance(value, bytes):
        return {KIND: "bytes", "value": base64.b64encode(value).decode()}
    if isinstance(value, tuple):
        return {KIND: "tuple", "value": [_pack(item) for item in value]}
    if isinstance(value, dict):
        return {key: _pack(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_pack(item) for item in value]
    return value


def _unpack(value: object) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [_unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if KIND not in value:
        return {key: _unpack(item) for key, item in value.items()}
    kind = value.pop(KIND)
    if kind in RECORDS:
        return RECORDS[kind](**{key: _unpack(item) for key, item in value.items()})
    content = value["value"]
    if kind in ENUMS:
        return ENUMS[kind](content)
    if kind == "Path":
        return Path(content)
    if kind == "bytes":
        return base64.b64decode(content)
    if kind == "tuple":
        return tuple(_unpack(item) for item in content)
    raise ValueError(f"{kind} is not known")
