"""What a request would take, told to the page before the job is begun; without torch."""

from __future__ import annotations

from engine.hardware import Hardware
from engine.jobs.order import WorkerState
from engine.memory.budget import budget_for, numbers_of
from engine.memory.forecast import Forecast, forecast
from engine.memory.plan import Wish, Work
from engine.request import Device, Request
from engine.service.orders import with_settings
from engine.settings import Settings
from engine.tasks.find import find_model
from engine.tasks.resolve import Room, choose_precision, complete

PROMPT_TOKENS = 512
"""Of the longest prompt that is read, so that a forecast does not change with the words."""


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
    complete_request = complete(asked, checkpoint, 0)
    work = _work(complete_request)
    budget = budget_for(device, card, told.host, told.rates, settings.vram_gb)
    precision = choose_precision(
        asked.precision,
        device.partition(":")[0],
        machine,
        stored_int8=checkpoint.parts.transformer.stores_int8,
        room=Room(checkpoint=checkpoint, work=work, budget=budget, card=card),
    )
    numbers = numbers_of(precision, device, card)
    return forecast(checkpoint, work, numbers, budget, Wish(profile=settings.profile))


def _work(request: Request) -> Work:
    """Describe a complete request."""
    return Work(
        width=request.width or 0,
        height=request.height or 0,
        count=request.count,
        evaluations=request.steps or 0,
        guided=bool(request.guidance_scale),
        prompt_tokens=PROMPT_TOKENS,
        saves_steps=request.step_cache > 0,
    )
