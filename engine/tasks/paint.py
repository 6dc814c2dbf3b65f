"""The stages of a job that compute: captions, latents, pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from engine.denoise import Conditions, Denoiser, Keep, OnStep, denoise, free
from engine.errors import NumericalError
from engine.events import Stage
from engine.jobs.order import Step
from engine.memory.model import Model
from engine.memory.pieces import Tour
from engine.memory.ring import Visits
from engine.memory.tensor_cache import TensorCache
from engine.model.omni import Reference
from engine.model.vae import to_picture_range
from engine.sampling.known import Known
from engine.sampling.regions import Regional
from engine.tasks.encoding import latents_of
from engine.tasks.job import Job
from engine.tasks.references import condition, read_picture
from engine.tasks.resolve import STRENGTHS
from engine.tasks.text_to_image import Captioning, noise
from engine.tasks.watch import Watch

BLACK_MEAN, FLAT_SPREAD = 2.0, 1.0
"""Levels out of 255: a picture as dark and as even as this is no picture."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a job's pictures come to: what is known of the one to make, and what is read along."""

    known: Known | None = None
    references: tuple[Reference, ...] = ()


def look(job: Job, model: Model, cache: TensorCache) -> Sight:
    """Look at the pictures of a job; `cache` knows those that were looked at before."""
    procedure, strips = job.procedure, job.strips
    known = procedure.prepare(lambda pixels: latents_of(model, pixels, strips, cache))
    pairs = zip(procedure.references, job.frame.readings, strict=True)
    read = (read_picture(model, picture, sizes, strips, cache) for picture, sizes in pairs)
    return Sight(known, tuple(read))


def encode(
    job: Job,
    model: Model,
    adapted: str,
    cache: TensorCache,
    references: Sequence[Reference] = (),
) -> Conditions:
    """Return what one picture is painted after, a condition for each of its prompts.

    Without guidance the negative prompt is not read.
    """
    request = job.request
    how = Captioning(
        warn=job.warn, adapted=adapted, way=request.long_prompt, cache=cache, check=job.check
    )
    positive = []
    for prompt in (request.prompt, *(region.prompt for region in request.regions)):
        positive.append(condition(model, prompt, how, references))
        job.check()
    if not request.guidance_scale:
        return Conditions(positive=positive)
    negative = condition(model, request.negative, how, references)
    return Conditions(positive=positive, negative=[negative] * len(positive))


def paint(job: Job, model: Model, conditions: Conditions, known: Known | None = None) -> None:
    """Denoise the batches that are not finished yet; each is kept as soon as it is."""
    done = sum(map(len, job.latents))
    count = job.request.count - done
    if job.frame.is_still and known is not None:
        job.latents.append(known.clean.repeat(count, 1, 1, 1))
        return
    start = noise((job.request.seed or 0) + done, count, *job.size)
    parts = start.split(job.plan.batch)
    total = len(parts) * (len(job.course.sigmas) - 1)
    pause = job.order.preview_seconds
    watch = Watch(job.hooks.emit, job.check, model.preview, job.place.precision, total, pause)
    with watch:
        for part in parts:
            many = Conditions(
                positive=[each for each in conditions.positive for _ in part],
                negative=[each for each in conditions.negative for _ in part],
            )
            job.latents.append(_batch(job, model, many, Start(part, known), watch.after_step))


@dataclass(frozen=True, slots=True)
class Start:
    """What a batch begins with: noise [b, 16, h, w] float32, and what is known of the picture."""

    noise: Tensor
    known: Known | None

    def to(self, device: str) -> Start:
        """Return the same with its tensors on a device."""
        return Start(self.noise.to(device), self.known and self.known.to(device))

    def latents(self, sigma: Tensor) -> Tensor:
        """Return the noisy latents [b, 16, h, w] at the first sigma []."""
        return self.noise if self.known is None else self.known.noisy(self.noise, sigma)

    def keeps(self, sigmas: Tensor) -> Keep:
        """Return what puts back, after each step along sigmas [S + 1], what is to stay."""
        known, noise = self.known, self.noise
        if known is None:
            return free
        return lambda latents, step: known.hold(latents, noise, sigmas, step)


def _batch(job: Job, model: Model, conditions: Conditions, start: Start, on_step: OnStep) -> Tensor:
    """Return the clean latents [b, 16, h, w] float32 of one batch, on the CPU."""
    course, visits = job.course, list[Visits]()
    height, width = start.noise.shape[-2:]
    extras = course.extras(lambda: visits[0].skip())
    with model.visiting(Tour.MODULATE, 1):
        denoiser = Denoiser(
            model.transformer, conditions, job.guidance, course.sigmas, (height, width), extras
        )
    first = sum(map(len, job.latents))
    sampler = course.sampler(_later_noise(job, first, len(start.noise)))
    weights, start = job.procedure.weights, start.to(job.place.device)
    velocity = denoiser if weights is None else Regional(denoiser, weights.to(job.place.device))
    noisy, keep = start.latents(course.sigmas[0]), start.keeps(course.sigmas)
    with model.visiting(Tour.DENOISE, len(course.sigmas) - 1) as visit:
        visits.append(visit)
        latents = denoise(velocity, noisy, course.sigmas, sampler, on_step, keep).cpu()
    job.evaluations = max(job.evaluations, denoiser.evaluations * job.frame.prompts)
    job.reused.append(denoiser.skipped)
    return latents


def _later_noise(job: Job, first: int, count: int) -> Callable[[int], Tensor]:
    """Return what draws the noise [count, 16, h, w] that some samplers mix in after each step."""
    seed = (job.request.seed or 0) + first
    return lambda step: noise(seed, count, *job.size, draw=step + 1)


def decode(job: Job, model: Model) -> None:
    """Finish the latents that are no pictures yet; each picture is kept as soon as it is one."""
    alone = [one for batch in job.latents for one in batch.split(1)]
    for index in range(len(job.pictures), len(alone)):
        job.hooks.emit(Step(stage=Stage.DECODING, step=index, total=len(alone)))
        picture, outside = job.procedure.finish(_decoded(job, model, alone[index]))
        job.pictures.append(picture)
        job.outside.append(outside)


def keep_input(job: Job) -> None:
    """Finish pictures of strength 0, for which the model is not needed."""
    picture, outside = job.procedure.still()
    job.pictures = [picture] * job.request.count
    job.outside = [outside] * job.request.count


def _decoded(job: Job, model: Model, latents: Tensor) -> Tensor:
    """Return the picture [H, W, 3] uint8 of latents [1, 16, h, w], on the CPU."""
    decoded = model.vae_decode(latents.to(job.place.device, job.place.dtype), job.strips)
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
    """Refuse a black picture [H, W, 3] uint8, which is a failure in disguise; note an even one.

    One that begins with a picture may be black for good.
    """
    mean, spread = picture.float().mean().item(), picture.float().std().item()
    is_made = job.frame.task not in STRENGTHS
    if is_made and mean < BLACK_MEAN and spread < FLAT_SPREAD:
        raise NumericalError(
            f"The model gave a black picture in {job.place.precision}.",
            "Use --precision fp32; if that does not help, try another prompt or seed.",
        )
    if spread < FLAT_SPREAD:
        job.warn("The picture is one even colour; more steps or another seed may help.")
