"""Decisions, made before any weight is read: pure functions of the request and the machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from engine.checkpoints.checkpoint import Checkpoint
from engine.errors import BadRequest
from engine.hardware import MIN_BF16_CAPABILITY, Card, Hardware
from engine.lora.match import Match
from engine.memory.activations import footprint_of
from engine.memory.budget import numbers_of
from engine.memory.pieces import Sizes, Tour, sizes_of
from engine.memory.plan import Budget, Footprint, Work, can_keep
from engine.request import MAX_SEED, Device, Fill, Precision, Request, Task
from engine.tasks.frame import Frame
from engine.tasks.kind import decide_task
from engine.variants import Variant
from engine.variants.step_saving import ALWAYS_COMPUTED, FIRST_STEPS, LAST_STEPS

MIN_FP16_CAPABILITY = 7
"""From this generation on float16 is fast (Volta, Turing); before it float32 is faster."""

STRENGTHS: Final = MappingProxyType({Task.REDRAW: 0.6, Task.INPAINT: 1.0})
"""The tasks that begin with a picture, and how much of it they usually ignore."""

NAMED_WORDS = 8
NAMED_CHARACTERS = 40

_DEVICE = re.compile(r"auto|cpu|mps|cuda(?::(\d{1,2}))?")


def choose_device(wanted: str, hardware: Hardware) -> str:
    """Return the device to compute on, as torch names it; raise `BadRequest` if it is not there."""
    match = _DEVICE.fullmatch(wanted)
    if match is None:
        raise BadRequest(
            f"The device {wanted!r:.40} is not known.", "Choose auto, cpu, cuda, cuda:N or mps."
        )
    if wanted == Device.AUTO:
        return "cuda" if hardware.cuda else "mps" if hardware.mps else "cpu"
    if wanted.startswith("cuda") and int(match[1] or 0) >= len(hardware.cuda):
        raise BadRequest(
            f"The device {wanted} is not there: torch finds {len(hardware.cuda)} CUDA cards.",
            "Use --device auto.",
        )
    if wanted == Device.MPS and not hardware.mps:
        raise BadRequest("The device mps is not there: this is no Mac with an Apple GPU.")
    return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a model must fit into, and what is to be done with it there.

    card: None for the CPU. has_bf16: whether the CPU computes in bfloat16 by itself. adapters: what
    is put beside the model.
    """

    checkpoint: Checkpoint
    work: Work
    budget: Budget
    card: Card | None = None
    has_bf16: bool = False
    adapters: tuple[Match, ...] = ()

    def described(self, precision: Precision) -> tuple[Sizes, Footprint]:
        """Return what the model takes in a precision, and what it works in."""
        numbers = numbers_of(precision, self.budget.device, self.card, has_bf16=self.has_bf16)
        sizes = sizes_of(self.checkpoint, numbers, self.adapters)
        return sizes, footprint_of(self.checkpoint, numbers)

    def holds(self, precision: Precision) -> bool:
        """Say whether what is computed at every step stays there; on the CPU the whole model."""
        sizes, footprint = self.described(precision)
        tours = tuple(Tour) if self.budget.is_host else (Tour.REFINE, Tour.MODULATE, Tour.DENOISE)
        return can_keep(self.work, sizes, footprint, self.budget, tours)


def choose_precision(
    wanted: Precision,
    device: str,
    hardware: Hardware,
    *,
    stored_int8: bool = False,
    room: Room | None = None,
) -> Precision:
    """Return the number type of the weights on `device`.

    stored_int8: the files hold integers. Of what a device computes well in, AUTO takes the first
    that there is room for, and int8 where there is for none; room: None = plenty.
    """
    if wanted is not Precision.AUTO:
        return wanted
    if stored_int8:
        return Precision.INT8
    suited = _suited(device, hardware, has_bf16=room is not None and room.has_bf16)
    fitting = (one for one in suited if room is None or room.holds(one))
    return next(fitting, Precision.INT8)


def _suited(device: str, hardware: Hardware, *, has_bf16: bool) -> tuple[Precision, ...]:
    """Return the number types that a device computes well in, the best first, beside int8."""
    if device == Device.CPU:
        return (Precision.FP32, Precision.BF16) if has_bf16 else (Precision.FP32,)
    if device == Device.MPS:
        return Precision.FP32, Precision.BF16
    card = int(device.partition(":")[2] or 0)
    generation = hardware.cuda[card][0]
    if generation >= MIN_BF16_CAPABILITY:
        return (Precision.BF16,)
    return (Precision.FP16,) if generation >= MIN_FP16_CAPABILITY else (Precision.FP32,)


def complete(request: Request, checkpoint: Checkpoint, drawn_seed: int) -> Request:
    """Fill in every default: from the variant, the checkpoint, and `drawn_seed`.

    A size that follows from a picture stays open. Raise `BadRequest` for a task that cannot be.
    """
    defaults = checkpoint.variant.defaults
    task = decide_task(request, checkpoint.variant)
    is_made = task is Task.GENERATE
    strength = STRENGTHS.get(task) if request.strength is None else request.strength
    seed = drawn_seed if request.seed is None else request.seed
    if seed + request.count - 1 > MAX_SEED:
        raise BadRequest(
            f"The seed {seed} leaves no room for {request.count} pictures, seeded one by one.",
            f"Use at most {MAX_SEED - request.count + 1}.",
        )

    def given(value: float | None, default: float) -> float:
        return default if value is None else value

    return request.with_values(
        seed=seed,
        steps=request.steps or defaults.steps,
        guidance_scale=given(request.guidance_scale, defaults.guidance_scale),
        shift=given(request.shift, checkpoint.shift),
        strength=strength,
        width=request.width or (defaults.width if is_made else None),
        height=request.height or (defaults.height if is_made else None),
    )


def notices(request: Request, variant: Variant, frame: Frame) -> Iterator[str]:
    """Yield what the user should know about a complete request: what is ignored or unusual."""
    yield from frame.notices
    yield from _without_effect(request, variant)
    yield from _without_picture(request, frame)
    yield from _unusual(request, variant, frame.size)
    unknown = variant.unknown_words(request.prompt)
    if unknown:
        yield f"{variant.title} never saw these words and cannot follow them: {_listed(unknown)}."


def unsure(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Say that the variant is a guess, where it is."""
    if checkpoint.variant_known:
        return ()
    return (
        f"The file does not say whether it is Base or Turbo; {checkpoint.variant.title} is "
        "assumed. Say which with --variant base or --variant turbo.",
    )


def _listed(words: Sequence[str]) -> str:
    """Name the first few words, none at length: a prompt may hold thousands."""
    named = [
        word if len(word) <= NAMED_CHARACTERS else word[:NAMED_CHARACTERS] + "..."
        for word in words[:NAMED_WORDS]
    ]
    more = len(words) - len(named)
    return ", ".join(named) + (f" and {more:,} more" if more else "")


def _without_effect(request: Request, variant: Variant) -> Iterator[str]:
    reasons = {ignored.control: ignored.reason for ignored in variant.ignores}
    if "shift" in reasons and request.shift != variant.defaults.shift:
        yield f"shift is ignored. {reasons['shift']}"
    if request.step_cache:
        yield from _without_reuse(request, variant)
    if request.guidance_scale:
        return
    moved = {
        "negative": request.negative != "",
        "cfg_normalization": request.cfg_normalization > 0,
        "cfg_truncation": request.cfg_truncation < 1,
    }
    for control, is_moved in moved.items():
        if is_moved:
            reason = reasons.get(control, "Guidance is 0.")
            yield f"{control} is ignored. {reason}"


def _without_picture(request: Request, frame: Frame) -> Iterator[str]:
    """Yield what is set for pictures and masks that the task does not use."""
    plain, task = Request(prompt=""), frame.task
    # The page's control stands at a default, whatever the task comes to.
    if request.strength not in {None, *STRENGTHS.values()} and task not in STRENGTHS:
        yield f"strength is ignored. The task {task} begins with noise."
    masking = ("feather", "fill", "soft", "masked_only")
    moved = [name for name in masking if getattr(request, name) != getattr(plain, name)]
    if task is not Task.INPAINT:
        yield from (f"{name} is ignored. There is no mask." for name in moved)
    elif request.fill is not Fill.ORIGINAL and frame.first == 0:
        yield f"The fill {request.fill} is hardly seen at strength {request.strength:g}."


def _without_reuse(request: Request, variant: Variant) -> Iterator[str]:
    reason = variant.ignored("step_cache")
    if reason is not None:
        yield f"step_cache is ignored. {reason}"
    elif (request.steps or 0) <= ALWAYS_COMPUTED:
        yield (
            f"step_cache has no effect on {request.steps} steps: the first {FIRST_STEPS} and the "
            f"last {LAST_STEPS} are always computed."
        )


def _unusual(request: Request, variant: Variant, size: tuple[int, int]) -> Iterator[str]:
    limits, title = variant.limits, variant.title
    (width, height), steps = size, request.steps or 0
    guidance = request.guidance_scale or 0.0
    sides, pixels = limits.sides, limits.pixels
    fits = all(sides[0] <= side <= sides[1] for side in (width, height))
    if not fits or not pixels[0] <= width * height <= pixels[1]:
        yield (
            f"{width} x {height} is outside the sizes {title} was trained on "
            f"(sides {sides[0]} to {sides[1]}, about {variant.defaults.width} x "
            f"{variant.defaults.height} in all); the picture may fall apart."
        )
    if not limits.steps[0] <= steps <= limits.steps[1]:
        yield f"{title} works best with {limits.steps[0]} to {limits.steps[1]} steps, not {steps}."
    low, high = limits.guidance_scale
    if guidance > 0 and high == 0:
        yield (
            f"{title} was made to paint without guidance; at guidance {guidance:g} it takes twice "
            "as long and usually gets worse."
        )
    elif not low <= guidance <= high:
        yield f"{title} works best with guidance {low:g} to {high:g}, not {guidance:g}."
