"""What a request would take, told to the page before the job is begun; without torch."""

from __future__ import annotations

from collections.abc import Iterator

from engine.checkpoints.checkpoint import Checkpoint
from engine.hardware import Hardware, Rates
from engine.jobs.order import WorkerState
from engine.lora.file import read_lora
from engine.lora.match import Match, match
from engine.memory.budget import budget_for
from engine.memory.forecast import Forecast, forecast
from engine.memory.plan import Wish
from engine.request import Device, Request
from engine.service.orders import with_settings
from engine.settings import Settings
from engine.tasks.find import find_model, lora_path
from engine.tasks.frame import frame_of
from engine.tasks.planning import work_of
from engine.tasks.resolve import Room, choose_precision, complete


def foresee(request: Request, settings: Settings, told: WorkerState) -> Forecast | None:
    """Return what a request would take on the machine that a worker told of.

    None where that is not known: for another device than the worker looked at. Only headers are
    read. Raise an error of the tree for a model that cannot be opened.
    """
    asked = with_settings(request, settings)
    device = told.name if asked.device == Device.AUTO else asked.device
    if not told.host.total_bytes or device not in {told.name, Device.CPU}:
        return None
    card = told.card if device == told.name else None
    cards = (card,) if card is not None and card.kind != "mps" else ()
    machine = Hardware(cards=cards, mps=device == Device.MPS, host=told.host)
    checkpoint = find_model(asked, settings.data_dir)
    request = complete(asked, checkpoint, 0)
    frame = frame_of(request, checkpoint.variant, settings.data_dir)
    work = work_of(request, checkpoint, frame)
    rates = told.rates if device == told.name else Rates()
    budget = budget_for(device, card, told.host, rates, settings.vram_gb)
    room = Room(
        checkpoint=checkpoint,
        work=work,
        budget=budget,
        card=card,
        has_bf16=told.has_bf16,
        adapters=tuple(_adapters(asked, settings, checkpoint)),
    )
    precision = choose_precision(
        asked.precision,
        device.partition(":")[0],
        machine,
        stored_int8=checkpoint.parts.transformer.stores_int8,
        room=room,
    )
    return forecast(work, *room.described(precision), budget, Wish(profile=settings.profile))


def _adapters(request: Request, settings: Settings, checkpoint: Checkpoint) -> Iterator[Match]:
    """Yield what of each adapter fits; raise an error of the tree for one that cannot be read."""
    for lora in request.loras:
        if lora.weight:
            path = lora_path(lora.name, settings.lora_folder)
            yield match(read_lora(path), checkpoint.transformer)
