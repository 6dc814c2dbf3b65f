"""One job from start to finish: resolve, load, encode, denoise, decode, save."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from engine.checkpoints.checkpoint import Checkpoint
from engine.denoise import Conditions, Denoiser, denoise
from engine.errors import (
    BadRequest,
    Cancelled,
    NumericalError,
    OutOfMemory,
    StudioError,
    WorkerLost,
)
from engine.events import Picture, Result, Stage
from engine.images.metadata import make_recipe, write_text
from engine.images.save import encode_png
from engine.jobs.order import Hooks, Order, Step
from engine.lora.apply import Adapter, apply
from engine.memory.probe import PeakMemory, hardware, limit
from engine.memory.shortage import is_device_lost, is_out_of_memory
from engine.memory.studio import Model, Place, Studio
from engine.model.vae import to_picture_range
from engine.model.vae_layers import Strips
from engine.request import Request
from engine.sampling.guidance import Guidance
from engine.sampling.samplers import SAMPLERS
from engine.storage import atomic_write, check_writable, make_folder, picture_name, sweep_temporary
from engine.tasks.adapters import choose_adapters
from engine.tasks.course import choose_course
from engine.tasks.find import check_download, find_model
from engine.tasks.resolve import (
    batches,
    choose_device,
    choose_precision,
    complete,
    notices,
    strip_rows,
    unsure,
)
from engine.tasks.text_to_image import caption, noise
from engine.tasks.watch import Watch

DRAWN_SEEDS = 2**32
BLACK_MEAN, FLAT_SPREAD = 2.0, 1.0
"""Levels out of 255: a picture as dark and as even as this is no picture."""


@dataclass(slots=True, kw_only=True)
class Job:
    """A job under way: its complete request, its hooks, and what it took so far."""

    order: Order
    hooks: Hooks
    request: Request
    checkpoint: Checkpoint
    place: Place
    adapters: tuple[Adapter, ...]
    stage: Stage = Stage.LOADING
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        """Tell the user something, and keep it for the recipe; once each."""
        if message not in self.warnings:
            self.warnings.append(message)
            self.hooks.warn(message)

    def check(self) -> None:
        """Raise `Cancelled` if the user stopped the job."""
        if self.hooks.cancelled():
            raise Cancelled("The job was cancelled.")

    @contextmanager
    def during(self, stage: Stage) -> Iterator[None]:
        """Tell that a stage begins, and measure it."""
        self.check()
        self.stage = stage
        self.hooks.emit(Step(stage=stage))
        began = time.perf_counter()
        yield
        self.seconds[stage.value] = time.perf_counter() - began


def execute(order: Order, studio: Studio, hooks: Hooks) -> Result:
    """Carry out an order; raise an error of the tree, with the studio fit for the next order."""
    began = time.perf_counter()
    job = resolve(order, hooks)
    try:
        with PeakMemory() as memory:
            pictures = _paint(job, studio)
        nfe = _evaluations(job)
    except (RuntimeError, MemoryError) as error:
        found = _explained(error, job)
        if found is None:
            raise
    else:
        return Result(
            pictures=pictures,
            seconds={**job.seconds, "total": time.perf_counter() - began},
            nfe=nfe,
            precision=job.place.precision,
            plan=_plan(job.place),
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
    place = Place(device=device, precision=precision)
    request = complete(asked, checkpoint, secrets.randbelow(DRAWN_SEEDS))
    adapters, remarks = choose_adapters(asked, order.lora_folder, checkpoint.transformer)
    job = Job(
        order=order,
        hooks=hooks,
        request=request,
        checkpoint=checkpoint,
        place=place,
        adapters=adapters,
    )
    if not limit(device, order.vram_gb):
        job.warn(f"A limit of {order.vram_gb:g} GB has no effect on the device {device}.")
    for notice in (*unsure(checkpoint), *notices(request, checkpoint.variant), *remarks):
        job.warn(notice)
    return job


def _paint(job: Job, studio: Studio) -> tuple[Picture, ...]:
    with job.during(Stage.LOADING):
        check_download(job.checkpoint, job.order.data_dir, job.hooks.cancelled)
        model = studio.model(job.checkpoint, job.place, job.check)
        adapted = apply(model.transformer, job.adapters, job.check)
    # Loading stays outside: weights made in here could never be changed in place.
    with torch.inference_mode():
        with job.during(Stage.ENCODING):
            conditions = _encode(job, model, adapted)
        with job.during(Stage.DENOISING):
            latents = _denoise(job, model, conditions)
        with job.during(Stage.DECODING):
            pictures = [_decode(job, model, latents, index) for index in range(len(latents))]
    with job.during(Stage.SAVING):
        return _save(job, pictures, latents)


def _encode(job: Job, model: Model, adapted: str) -> Conditions:
    """Return the captions of one picture; without guidance the negative prompt is not read."""
    request = job.request
    positive = caption(model, request.prompt, adapted, job.warn)
    job.check()
    if not request.guidance_scale:
        return Conditions(positive=(positive,), negative=())
    negative = caption(model, request.negative, adapted, job.warn)
    return Conditions(positive=(positive,), negative=(negative,))


def _denoise(job: Job, model: Model, conditions: Conditions) -> Tensor:
    """Return the clean latents of all pictures, [N, 16, h, w] float32 on the CPU."""
    request = job.request
    width, height = request.width or 0, request.height or 0
    start = noise(request.seed or 0, request.count, width, height)
    parts = start.split(batches(request.count, width, height))
    course, guidance = choose_course(request, job.checkpoint.variant), _guidance(request)
    total = len(parts) * (len(course.sigmas) - 1)
    watch = Watch(job.hooks.emit, job.check, model.preview, job.place.precision, total)
    done: list[Tensor] = []
    with watch:
        for part in parts:
            first = sum(len(before) for before in done)
            many = Conditions(
                positive=[*conditions.positive] * len(part),
                negative=[*conditions.negative] * len(part),
            )
            size = (part.shape[-2], part.shape[-1])
            denoiser = Denoiser(
                model.transformer, many, guidance, course.sigmas, size, course.targets
            )
            sampler = course.sampler(_later_noise(request, first, len(part)))
            start = part.to(job.place.device)
            done.append(denoise(denoiser, start, course.sigmas, sampler, watch.after_step).cpu())
    return torch.cat(done)


def _later_noise(request: Request, first: int, count: int) -> Callable[[int], Tensor]:
    """Return what draws the noise [count, 16, h, w] that some samplers mix in after each step."""
    seed, width, height = (request.seed or 0) + first, request.width or 0, request.height or 0
    return lambda step: noise(seed, count, width, height, draw=step + 1)


def _decode(job: Job, model: Model, latents: Tensor, index: int) -> Tensor:
    """Decode picture `index` of latents [N, 16, h, w] to [H, W, 3] uint8."""
    count, width, height = len(latents), job.request.width or 0, job.request.height or 0
    job.hooks.emit(Step(stage=Stage.DECODING, step=index, total=count))
    strips = Strips(strip_rows(width, height), on_strip=job.check)
    one = latents[index : index + 1].to(job.place.device, job.place.dtype)
    decoded = model.vae.decode(one, strips)
    if not decoded.isfinite().all():
        raise NumericalError(
            f"Decoding the picture in {job.place.precision} gave numbers that are no picture "
            "(NaN or infinity).",
            "Use --precision fp32; if that does not help, the model's files are damaged.",
        )
    picture = to_picture_range(decoded)[0].cpu()
    _check_look(job, picture)
    return picture


def _check_look(job: Job, picture: Tensor) -> None:
    """Refuse a black picture [H, W, 3] uint8, which is a failure in disguise; note an even one."""
    mean, spread = picture.float().mean().item(), picture.float().std().item()
    if mean < BLACK_MEAN and spread < FLAT_SPREAD:
        raise NumericalError(
            f"The model gave a black picture in {job.place.precision}.",
            "Use --precision fp32; if that does not help, try another prompt or seed.",
        )
    if spread < FLAT_SPREAD:
        job.warn("The picture is one even colour; more steps or another seed may help.")


def _save(job: Job, pictures: list[Tensor], latents: Tensor) -> tuple[Picture, ...]:
    """Write the pictures, each [H, W, 3] uint8, and the latents [N, 16, h, w] where wanted."""
    output = job.order.output
    recipes = [_recipe(job, index) for index in range(len(pictures))]
    names = output.file_names(len(recipes)) or [picture_name(datetime.now()) for _ in recipes]
    paths = [output.folder.absolute() / name for name in names]
    # All are encoded before the first is written: a cancelled job leaves no file.
    files = {
        path: _encoded(job, picture, recipe)
        for path, picture, recipe in zip(paths, pictures, recipes, strict=True)
    }
    if output.latents is not None:
        files[output.latents] = save({"latents": latents.contiguous()})
    job.check()
    make_folder(output.folder)
    sweep_temporary(output.folder)
    _write_all(files.items())
    width, height = job.request.width or 0, job.request.height or 0
    return tuple(
        Picture(path=path, recipe=recipe, width=width, height=height)
        for path, recipe in zip(paths, recipes, strict=True)
    )


def _encoded(job: Job, picture: Tensor, recipe: dict[str, object]) -> bytes:
    """Return a picture [H, W, 3] uint8 as a file; of many, each is time enough for a cancel."""
    job.check()
    return encode_png(picture, write_text(recipe))


def _write_all(files: Iterable[tuple[Path, bytes]]) -> None:
    """Write every file; where one fails, those before it are removed again."""
    with ExitStack() as undo:
        for path, data in files:
            atomic_write(path, data)
            undo.callback(path.unlink, missing_ok=True)
        undo.pop_all()


def _recipe(job: Job, index: int) -> dict[str, object]:
    own = job.request.with_values(seed=(job.request.seed or 0) + index, count=1)
    return make_recipe(
        own,
        model_hash=job.checkpoint.digest,
        precision=job.place.precision,
        plan=_plan(job.place),
        warnings=job.warnings,
    )


def _guidance(request: Request) -> Guidance:
    return Guidance(
        scale=request.guidance_scale or 0.0,
        normalization=request.cfg_normalization,
        truncation=request.cfg_truncation,
    )


def _evaluations(job: Job) -> int:
    """Count the model evaluations of one picture: two in a step with guidance."""
    guidance = _guidance(job.request)
    sigmas = choose_course(job.request, job.checkpoint.variant).sigmas
    return sum(2 if guidance.active(float(sigma)) else 1 for sigma in sigmas[:-1])


def _plan(place: Place) -> str:
    return f"whole model on {place.device}"


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
