"""One job from start to finish: resolve, load, encode, denoise, decode, save."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch

from engine.checkpoints.checkpoint import Checkpoint
from engine.errors import BadRequest, OutOfMemory, StudioError, WorkerLost
from engine.events import Result, Stage
from engine.hardware import Hardware
from engine.jobs.order import Hooks, Order
from engine.lora.apply import Adapter
from engine.memory.budget import budget_for
from engine.memory.ladder import Shortage, Terms, next_rung
from engine.memory.model import Model
from engine.memory.place import Place, computes_in_bf16
from engine.memory.probe import PeakMemory, card_now, hardware, host_now, limit
from engine.memory.rates import known_rates
from engine.memory.shortage import is_device_lost, is_of_host, is_out_of_memory
from engine.memory.studio import Studio
from engine.memory.tensor_cache import TensorCache
from engine.memory.work import Wish, Work
from engine.request import DRAWN_SEEDS, Precision
from engine.sampling.samplers import SAMPLERS
from engine.storage import check_writable
from engine.tasks.adapters import choose_adapters
from engine.tasks.find import check_download, find_model
from engine.tasks.frame import frame_of
from engine.tasks.job import Job
from engine.tasks.paint import Sight, decode, encode, keep_input, look, paint
from engine.tasks.planning import Planning, work_of
from engine.tasks.prepare import procedure_of
from engine.tasks.resolve import (
    Room,
    choose_device,
    choose_precision,
    complete,
    notices,
    unsure,
)
from engine.tasks.saving import save_pictures


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure of the machine, as the user is told it; shortage: None where memory is not why.

    It holds nothing of the attempt: what that had in memory is free once it has returned.
    """

    error: StudioError
    shortage: Shortage | None = None


def execute(order: Order, studio: Studio, hooks: Hooks, machine: Hardware | None = None) -> Result:
    """Carry out an order; raise an error of the tree, with the studio fit for the next order.

    machine: what `hardware` found, None = ask now. A job that runs out of memory is tried again
    with less, as `engine.memory.ladder` has it; the next job is planned as if nothing had happened.
    """
    try:
        return _carry_out(order, studio, hooks, machine or hardware())
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
    # Outside of every stage: not even the job could be described, or watched.
    studio.forget()
    raise OutOfMemory("The computer's memory ran out.", "Close other programs, and try again.")


def _carry_out(order: Order, studio: Studio, hooks: Hooks, machine: Hardware) -> Result:
    began = time.perf_counter()
    job = resolve(order, hooks, studio, machine)
    with PeakMemory() as memory, ExitStack() as end:
        end.callback(_restore, job, studio)
        while (failure := _attempt(job, studio)) is not None:
            _give_in(job, studio, failure)
    return Result(
        pictures=job.saved,
        seconds={**job.seconds, "total": time.perf_counter() - began},
        nfe=job.evaluations,
        skipped=job.skipped,
        precision=job.place.precision,
        plan=job.describe(),
        peak_memory=memory.gib,
        warnings=tuple(job.warnings),
    )


def resolve(order: Order, hooks: Hooks, studio: Studio, machine: Hardware) -> Job:
    """Decide everything that can be decided before a weight is read."""
    asked = order.request
    if asked.sampler not in SAMPLERS:
        raise BadRequest(
            f"The sampler {asked.sampler!r:.40} is not known.",
            f"Choose one of {', '.join(SAMPLERS)}.",
        )
    check_writable(order.output.folder)
    device = choose_device(asked.device, machine)
    checkpoint = find_model(asked, order.data_dir)
    request = complete(asked, checkpoint, secrets.randbelow(DRAWN_SEEDS))
    adapters, remarks = choose_adapters(asked, order.lora_folder, checkpoint.transformer)
    frame = frame_of(request, checkpoint.variant, order.data_dir)
    work = work_of(request, checkpoint, frame)
    room = _room(order, checkpoint, work, device, machine, adapters)
    stored_int8 = checkpoint.parts.transformer.stores_int8
    precision = choose_precision(
        asked.precision, device, machine, stored_int8=stored_int8, room=room
    )
    may_round = asked.precision is Precision.AUTO
    terms = Terms(wish=Wish(profile=order.profile), precision=precision, may_round=may_round)
    planning = Planning(room)
    place = Place(device=device, precision=precision, attention=order.attention)
    job = Job(
        order=order,
        hooks=hooks,
        request=request,
        checkpoint=checkpoint,
        adapters=adapters,
        frame=frame,
        procedure=procedure_of(request, frame, order.data_dir),
        planning=planning,
        terms=terms,
        plan=planning(terms, studio.kept_plan(checkpoint, place)),
    )
    if not limit(device, order.vram_gb):
        job.warn(f"A limit of {order.vram_gb:g} GB has no effect on the device {device}.")
    told = notices(request, checkpoint.variant, frame)
    for notice in (*unsure(checkpoint), *told, *remarks):
        job.warn(notice)
    return job


def _room(
    order: Order,
    checkpoint: Checkpoint,
    work: Work,
    device: str,
    machine: Hardware,
    adapters: Sequence[Adapter],
) -> Room:
    """Return what there is for the work of an order, as of now."""
    card, computer = card_now(device, machine), host_now()
    rates = known_rates(device, order.data_dir)
    return Room(
        checkpoint=checkpoint,
        work=work,
        budget=budget_for(device, card, computer, rates, order.vram_gb),
        card=card,
        has_bf16=computes_in_bf16(device),
        adapters=tuple(adapter.found for adapter in adapters if adapter.weight),
    )


def _attempt(job: Job, studio: Studio) -> Failure | None:
    """Go through the stages; return what of the machine failed, and raise whatever else does.

    The frames of a failure, and the tensors they hold, are gone with this function's return.
    """
    try:
        _go(job, studio)
    except (RuntimeError, MemoryError, OSError) as error:
        failure = _explained(error, job)
        if failure is None:
            raise
        return failure
    return None


def _go(job: Job, studio: Studio) -> None:
    """Go through the stages; what an attempt before this one finished is not done again."""
    if job.frame.is_still and job.order.output.latents is None:
        keep_input(job)
    else:
        _make(job, studio)
    with job.during(Stage.SAVING):
        job.saved = save_pictures(job)


def _make(job: Job, studio: Studio) -> None:
    """Go through the stages that need the model."""
    folder = job.order.data_dir
    with job.during(Stage.LOADING):
        check_download(job.checkpoint, folder, job.hooks.cancelled)
        model = studio.model(job.checkpoint, job.place, job.check, job.plan, folder)
        adapted = model.adapt(job.adapters, job.check)
    for notice in model.notices:
        job.warn(notice)
    # Loading stays outside: weights made in here could never be changed in place.
    with torch.inference_mode():
        if not job.is_painted:
            sight = _seen(job, model, studio.references(folder))
            with job.during(Stage.ENCODING):
                prompts = studio.prompts(folder)
                conditions = encode(job, model, adapted, prompts, sight.references)
            with job.during(Stage.DENOISING):
                paint(job, model, conditions, sight.known)
        with job.during(Stage.DECODING):
            keep_input(job) if job.frame.is_still else decode(job, model)


def _seen(job: Job, model: Model, cache: TensorCache) -> Sight:
    """Look at the pictures of a job that has any."""
    if not job.frame.encodes:
        return Sight()
    with job.during(Stage.PREPARING):
        return look(job, model, cache)


def _give_in(job: Job, studio: Studio, failure: Failure) -> None:
    """Let the job go on with less memory; raise its failure where nothing is left to give up."""
    if failure.shortage is None:
        # Nothing more may be asked of a card that is gone, not even to take its memory back.
        job.moved = False
        raise failure.error
    given = next_rung(failure.shortage, job.plan, job.terms, job.tried, job.planning)
    if given is None:
        studio.forget()
        raise failure.error
    if given.keeps_model:
        studio.tidy()
    else:
        studio.forget()
    job.concede(given)


def _restore(job: Job, studio: Studio) -> None:
    """However a job ended: have the next one planned as if nothing had happened."""
    if job.moved:
        studio.forget()


def _explained(error: BaseException, job: Job) -> Failure | None:
    """Return what a failure of the machine means to the user; None if it is no such failure."""
    width, height = job.size
    if is_out_of_memory(error):
        what = f"{width} x {height}, {job.plan.batch} at once, {job.place.precision}"
        less = "a smaller size or fewer pictures"
        if job.stage is Stage.LOADING and job.place.precision is not Precision.INT8:
            less = "the precision int8"
        return Failure(
            OutOfMemory(
                f"Memory of the device {job.place.device} ran out while {job.stage} ({what}).",
                f"Choose {less}, or close other programs.",
            ),
            Shortage(stage=job.stage, of_host=is_of_host(error)),
        )
    if is_device_lost(error):
        return Failure(
            WorkerLost(
                f"The graphics card failed while {job.stage}: {str(error).splitlines()[0]:.200}.",
                "The painting process is started again; if it goes on, restart the computer.",
            )
        )
    return None
