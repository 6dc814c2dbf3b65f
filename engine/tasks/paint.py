"""The stages of a job that compute: captions, latents, pictures."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from engine.denoise import Conditions, Denoiser, OnStep, denoise
from engine.errors import NumericalError
from engine.events import Stage
from engine.jobs.order import Step
from engine.memory.model import Model
from engine.memory.pieces import Tour
from engine.memory.ring import Visits
from engine.memory.tensor_cache import TensorCache
from engine.model.vae import to_picture_range
from engine.model.vae_strips import Strips
from engine.tasks.job import Job
from engine.tasks.text_to_image import Captioning, caption, noise
from engine.tasks.watch import Watch

BLACK_MEAN, FLAT_SPREAD = 2.0, 1.0
"""Levels out of 255: a picture as dark and as even as this is no picture."""


def encode(job: Job, model: Model, adapted: str, cache: TensorCache) -> Conditions:
    """Return the captions of one picture; without guidance the negative prompt is not read."""
    request = job.request
    how = Captioning(
        warn=job.warn, adapted=adapted, way=request.long_prompt, cache=cache, check=job.check
    )
    positive = caption(model, request.prompt, how)
    job.check()
    if not request.guidance_scale:
        return Conditions(positive=(positive,), negative=())
    negative = caption(model, request.negative, how)
    return Conditions(positive=(positive,), negative=(negative,))


def paint(job: Job, model: Model, conditions: Conditions) -> None:
    """Denoise the batches that are not finished yet; each is kept as soon as it is."""
    done = sum(map(len, job.latents))
    start = noise((job.request.seed or 0) + done, job.request.count - done, *job.size)
    parts = start.split(job.plan.batch)
    total = len(parts) * (len(job.course.sigmas) - 1)
    pause = job.order.preview_seconds
    watch = Watch(job.hooks.emit, job.check, model.preview, job.place.precision, total, pause)
    with watch:
        for part in parts:
            many = Conditions(
                positive=[*conditions.positive] * len(part),
                negative=[*conditions.negative] * len(part),
            )
            job.latents.append(_batch(job, model, many, part, watch.after_step))


def _batch(
    job: Job, model: Model, conditions: Conditions, start: Tensor, on_step: OnStep
) -> Tensor:
    """Return the clean latents of one batch of noise, both [b, 16, h, w] float32 on the CPU."""
    course, size, visits = job.course, (start.shape[-2], start.shape[-1]), list[Visits]()
    extras = course.extras(lambda: visits[0].skip())
    with model.visiting(Tour.MODULATE, 1):
        denoiser = Denoiser(
            model.transformer, conditions, job.guidance, course.sigmas, size, extras
        )
    first = sum(map(len, job.latents))
    sampler = course.sampler(_later_noise(job, first, len(start)))
    noisy = start.to(job.place.device)
    with model.visiting(Tour.DENOISE, len(course.sigmas) - 1) as visit:
        visits.append(visit)
        latents = denoise(denoiser, noisy, course.sigmas, sampler, on_step).cpu()
    job.evaluations = max(job.evaluations, denoiser.evaluations)
    job.reused.append(denoiser.skipped)
    return latents


def _later_noise(job: Job, first: int, count: int) -> Callable[[int], Tensor]:
    """Return what draws the noise [count, 16, h, w] that some samplers mix in after each step."""
    seed = (job.request.seed or 0) + first
    return lambda step: noise(seed, count, *job.size, draw=step + 1)


def decode(job: Job, model: Model) -> None:
    """Decode the latents that are no pictures yet; each picture is kept as soon as it is one."""
    alone = [one for batch in job.latents for one in batch.split(1)]
    how = job.plan.decode
    strips = Strips(how.rows, on_strip=job.check, on_host=how.on_host)
    for index in range(len(job.pictures), len(alone)):
        job.hooks.emit(Step(stage=Stage.DECODING, step=index, total=len(alone)))
        latents = alone[index].to(job.place.device, job.place.dtype)
        decoded = model.vae_decode(latents, strips)
        if not decoded.isfinite().all():
            raise NumericalError(
                f"Decoding the picture in {job.place.precision} gave numbers that are no picture "
                "(NaN or infinity).",
                "Use --precision fp32; if that does not help, the model's files are damaged.",
            )
        picture = to_picture_range(decoded)[0].cpu()
        _check_look(job, picture)
        job.pictures.append(picture)


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
