"""Turns a request into an order: the user's settings stand where the request leaves them open."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import replace
from datetime import datetime

from engine.inputs import keep_inputs
from engine.jobs.order import Order, Output
from engine.request import DRAWN_SEEDS, Device, Precision, Request
from engine.settings import Settings
from engine.storage import picture_name


def make_order(
    request: Request, settings: Settings, output: Output | None, session: str = ""
) -> Order:
    """Return the order for a request, under an id of its own, with its input pictures kept.

    Seed and file names are settled here: painted again after a crash, it gives the same pictures in
    the same place. Raise `NotFound`, `FileRejected` or `DiskError` for what cannot be kept.
    """
    request = keep_inputs(with_settings(request, settings), settings.data_dir)
    if request.seed is None:
        request = replace(request, seed=secrets.randbelow(DRAWN_SEEDS))
    output = output or Output(folder=settings.output_folder)
    if output.name is None:
        output = replace(output, name=picture_name(datetime.now(), settings.file_type.suffix))
    return Order(
        job=uuid.uuid4().hex[:12],
        request=request,
        output=output,
        session=session,
        data_dir=settings.data_dir,
        lora_folder=settings.lora_folder,
        vram_gb=settings.vram_gb,
        profile=settings.profile,
        file_type=settings.file_type,
        metadata=settings.metadata,
        preview_seconds=settings.preview_seconds,
        attention=settings.attention,
    )


def with_settings(request: Request, settings: Settings) -> Request:
    """Put the user's choices of device and precision where the request has none."""
    if request.device == Device.AUTO:
        request = replace(request, device=settings.device)
    if request.precision is Precision.AUTO:
        request = replace(request, precision=settings.precision)
    return request
