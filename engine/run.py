"""One job from start to finish: resolve, load, encode, denoise, decode, save."""

from __future__ import annotations

import secrets
import time

import torch

from engine.errors import (
    BadRequest,
    OutOfMemory,
    StudioError,
    WorkerLost,
)
from engine.events import Picture, Result, Stage
from engine.jobs.order import Hooks, Order
from engine.lora.apply import apply
from engine.memory.probe import PeakMemory, hardware, limit
from engine.memory.shortage import is_device_lost, is_out_of_memory
from engine.memory.studio import Place, Studio
from engine.sampling.samplers import SAMPLERS
from engine.storage import check_writable
from engine.tasks.adapters import choose_adapters
from engine.tasks.find import check_download, find_model
from engine.tasks.job import Job
from engine.tasks.paint import decode, encode, paint
from engine.tasks.resolve import choose_device, choose_precision, complete, notices, unsure
from engine.tasks.saving import save_pictures

DRAWN_SEEDS = 2**32


def execute(order: Order, studio: Studio, hooks: Hooks) -> Result:
    """Carry out an order; raise an error of the tree, with the studio fit for the next order."""
    began = time.perf_counter()
    job = resolve(order, hooks)
    try:
        with PeakMemory() as memory:
            pictures = _attempt(job, studio)
    except (RuntimeError, MemoryError) as error:
        found = _explained(error, job)
        if found is None:
            raise
    else:
        return Result(
            pictures=pictures,
            seconds={**job.seconds, "total": time.perf_counter() - began},
            nfe=job.evaluations,
            precision=job.place.precision,
            plan=job.plan,
            peak_memory=memory.gib,
            warnings=tuple(job.warnings),
        )
    # Out of the handler, so that the frames of the failure, and their tensors, are gone.
    studio.forget()
    raise found


def resolve(order: Order, hooks: Hooks) -> Job:
    """Decide everything that can be decided before a weight is read."""
    asked = order.request
    if asked.sampler not in SAMPLERS:
        raise BadRequest(
            f"The sampler {asked.sampler!r:.40} is not known.",
            f"Choose one of {', '.join(SAMPLERS)}.",
        )
    check_writable(order.output.folder)
    machine = hardware()
    device = choose_device(asked.device, machine)
    checkpoint = find_model(asked, order.data_dir)
    stored_int8 = checkpoint.parts.transformer.stores_int8
    precision = choose_precision(asked.precision, device, machine, stored_int8=stored_int8)
    request = complete(asked, checkpoint, secrets.randbelow(DRAWN_SEEDS))
    adapters, remarks = choose_adapters(asked, order.lora_folder, checkpoint.transformer)
    job = Job(
        order=order,
        hooks=hooks,
        request=request,
        checkpoint=checkpoint,
        place=Place(device=device, precision=precision),
        adapters=adapters,
    )
    if not limit(device, order.vram_gb):
        job.warn(f"A limit of {order.vram_gb:g} GB has no effect on the device {device}.")
    for notice in (*unsure(checkpoint), *notices(request, checkpoint.variant), *remarks):
        job.warn(notice)
    return job


def _attempt(job: Job, studio: Studio) -> tuple[Picture, ...]:
    """Go through the stages; what an attempt before this one finished is not done again."""
    with job.during(Stage.LOADING):
        check_download(job.checkpoint, job.order.data_dir, job.hooks.cancelled)
        model = studio.model(job.checkpoint, job.place, job.check)
        adapted = apply(model.transformer, job.adapters, job.check)
    # Loading stays outside: weights made in here could never be changed in place.
    with torch.inference_mode():
        with job.during(Stage.ENCODING):
            conditions = encode(job, model, adapted)
        with job.during(Stage.DENOISING):
            paint(job, model, conditions)
        with job.during(Stage.DECODING):
            decode(job, model)
    with job.during(Stage.SAVING):
        return save_pictures(job)


def _explained(error: BaseException, job: Job) -> StudioError | None:
    """Return what a failure of the machine means to the user; None if it is no such failure."""
    request = job.request
    what = f"{request.width} x {request.height}, {request.count} at once, {job.place.precision}"
    if is_out_of_memory(error):
        less = "a smaller size or fewer pictures"
        if job.stage is Stage.LOADING:
            less = "the precision int8"
        return OutOfMemory(
            f"Memory of the device {job.place.device} ran out while {job.stage} ({what}).",
            f"Choose {less}, or close other programs.",
        )
    if is_device_lost(error):
        return WorkerLost(
            f"The graphics card failed while {job.stage}: {str(error).splitlines()[0]:.200}.",
            "The painting process is started again; if it goes on, restart the computer.",
        )
    return None
