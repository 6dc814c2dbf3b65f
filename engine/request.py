"""What the user wants, as one frozen, validated value with names."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, TypeVar

from engine.checks import (
    MAX_PROMPT_CHARACTERS,
    MAX_SIDE,
    MIN_SIDE,
    SIDE_MULTIPLE,
    check_name,
    check_number,
    check_side,
    check_text,
    check_whole,
)
from engine.errors import BadRequest

__all__ = [
    "MAX_PROMPT_CHARACTERS",
    "MAX_SIDE",
    "MIN_SIDE",
    "SIDE_MULTIPLE",
]

MAX_PIXELS = 32_000_000
MAX_STEPS = 1000
MAX_COUNT = 64
MAX_SEED = 2**63 - 1
DRAWN_SEEDS = 2**32
"""Below this lie the seeds that are drawn where a request has none."""
MAX_PATH_CHARACTERS = 4096
MAX_LORAS = 32
MAX_LORA_WEIGHT = 2.0
MAX_IMAGES = 3
MAX_REGIONS = 4
MAX_FEATHER = 64
MAX_CONTEXT = 1024
MAX_EXTENSION = 4096

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_Kind = TypeVar("_Kind", bound=StrEnum)


class Precision(StrEnum):
    """Number type of the weights; AUTO lets the engine choose for the device."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


class Device(StrEnum):
    """Where to compute; AUTO takes the best there is. A CUDA card may carry its number: cuda:1."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Task(StrEnum):
    """What is done with the pictures of a request; AUTO follows from which there are.

    REDRAW: image-to-image, from one picture with some noise. EDIT: by instruction, from references.
    """

    AUTO = "auto"
    GENERATE = "generate"
    REDRAW = "redraw"
    EDIT = "edit"
    INPAINT = "inpaint"


class Fill(StrEnum):
    """What lies under a mask before it is repainted."""

    ORIGINAL = "original"
    NOISE = "noise"
    BLUR = "blur"
    COLOUR = "colour"


class LongPrompt(StrEnum):
    """What becomes of a prompt beyond the 512 tokens that the models were trained on.

    CUT: the rest is not read, as in the reference. SENTENCE: the same, at the last whole sentence.
    FULL: all of it is read, up to 1504 tokens.
    """

    CUT = "cut"
    SENTENCE = "sentence"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Lora:
    """An adapter file and how strongly it acts.

    name: a path, or a file of the LoRA folder. weight: -2 to 2; at 0 it is not there.
    """

    name: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Check both; raise `BadRequest`."""
        check_text("LoRA", self.name)
        if not 0 < len(self.name) <= MAX_PATH_CHARACTERS:
            raise BadRequest(f"The LoRA must be a path or a name, not {self.name!r:.80}.")
        if self.weight is None:
            raise BadRequest(f"The LoRA {self.name!r:.80} has no weight.", "Leave it at 1.")
        check_number(
            f"weight of the LoRA {self.name!r:.80}", self.weight, -MAX_LORA_WEIGHT, MAX_LORA_WEIGHT
        )


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an inpainted picture with a prompt of its own; mask: as that of a `Request`."""

    prompt: str
    mask: str

    def __post_init__(self) -> None:
        """Check both; raise `BadRequest`."""
        check_text("prompt of a region", self.prompt)
        _check_file("mask of a region", self.mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A picture to be painted or changed. None means: the default of the model variant.

    seed: noise of picture i is seeded with seed + i; None draws one.
    guidance_scale g: pos + g * (pos - neg), 0 = off. shift: of the noise schedule.
    cfg_normalization c: caps the norm of the guided prediction at c times the unguided, 0 = off.
    cfg_truncation T: guidance stops once 1 - sigma > T.
    step_cache: a step whose first layer changes less than this, relatively, reuses the others'
    result of the step before; 0 = off. Faster, and not quite the same picture.
    width, height: pixels, multiples of 16.
    loras: all act at once. lora_partial: apply one though many of its parts fit nothing.
    variant: what the model is, where its file cannot tell; None: as the file says.
    long_prompt: what becomes of words beyond those the model was trained to read.
    images, mask: paths, or names that `engine.inputs` gave; a mask is white where to repaint.
    strength: 1 = ignore the input, 0 = keep it. feather: pixels outward from the mask's edge.
    fill, fill_colour (#rrggbb): what lies under the mask at first. soft: grey of the mask starts
    later instead of counting as black or white. masked_only: crop to the mask with `context` pixels
    around it, paint that at the model's own size, put it back. extend: pixels to add at the left,
    top, right and bottom. regions: parts of the mask with prompts of their own.
    """

    prompt: str
    negative: str = ""
    model: str = "demo-turbo"
    seed: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    shift: float | None = None
    sampler: str = "euler"
    width: int | None = None
    height: int | None = None
    count: int = 1
    cfg_normalization: float = 0.0
    cfg_truncation: float = 1.0
    step_cache: float = 0.0
    precision: Precision = Precision.AUTO
    device: str = Device.AUTO.value
    loras: tuple[Lora, ...] = ()
    lora_partial: bool = False
    variant: str | None = None
    long_prompt: LongPrompt = LongPrompt.CUT
    task: Task = Task.AUTO
    images: tuple[str, ...] = ()
    mask: str | None = None
    strength: float | None = None
    feather: int = 8
    fill: Fill = Fill.ORIGINAL
    fill_colour: str = "#808080"
    soft: bool = False
    masked_only: bool = False
    context: int = 32
    extend: tuple[int, int, int, int] = (0, 0, 0, 0)
    regions: tuple[Region, ...] = ()

    def __post_init__(self) -> None:
        """Check every value; raise `BadRequest` naming the first bad one and the next step."""
        check_text("prompt", self.prompt)
        check_text("negative prompt", self.negative)
        check_text("model", self.model)
        check_name("sampler", self.sampler)
        check_name("device", self.device)
        check_whole("seed", self.seed, 0, MAX_SEED)
        check_whole("number of steps", self.steps, 1, MAX_STEPS)
        check_whole("number of pictures", self.count, 1, MAX_COUNT)
        check_number("guidance", self.guidance_scale, 0.0, 100.0)
        check_number("shift", self.shift, 0.01, 100.0)
        check_number("cfg normalization", self.cfg_normalization, 0.0, 100.0)
        check_number("cfg truncation", self.cfg_truncation, 0.0, 1.0)
        check_number("step cache", self.step_cache, 0.0, 1.0)
        check_side("width", self.width)
        check_side("height", self.height)
        if (self.width or 0) * (self.height or 0) > MAX_PIXELS:
            raise BadRequest(
                f"The picture would have {self.width} x {self.height} pixels, more than "
                f"{MAX_PIXELS // 1_000_000} million.",
                "Choose a smaller size.",
            )
        if self.variant is not None:
            check_name("variant", self.variant)
        for name in ("lora_partial", "soft", "masked_only"):
            if not isinstance(getattr(self, name), bool):
                raise BadRequest(f"{name} must be true or false, not {getattr(self, name)!r:.80}.")
        object.__setattr__(self, "precision", _choice("precision", self.precision, Precision))
        object.__setattr__(self, "loras", _loras(self.loras))
        _check_pictures(self)

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON values, by field name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            **values,
            "loras": [asdict(lora) for lora in self.loras],
            "images": list(self.images),
            "extend": list(self.extend),
            "regions": [asdict(region) for region in self.regions],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Request:
        """Build a request from JSON values; raise `BadRequest` for unknown names or bad values."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise BadRequest(f"The request has unknown fields: {', '.join(unknown)}.")
        if "prompt" not in values:
            raise BadRequest("The request has no prompt.", "Say what to paint.")
        return cls(**values)

    def with_values(self, **changes: Any) -> Request:
        """Return a copy with some values replaced, checked like a new request."""
        return replace(self, **changes)


def _check_pictures(request: Request) -> None:
    """Check what a request says of its input pictures, and give it the types it names."""
    images = _list("pictures", request.images, MAX_IMAGES)
    for image in images:
        _check_file("picture", image)
    if request.mask is not None:
        _check_file("mask", request.mask)
    check_number("strength", request.strength, 0.0, 1.0)
    _check_given("feather", request.feather, MAX_FEATHER)
    _check_given("context", request.context, MAX_CONTEXT)
    if not isinstance(request.fill_colour, str) or not _COLOUR.fullmatch(request.fill_colour):
        raise BadRequest(
            f"The fill colour {request.fill_colour!r:.40} is no colour.", "Write it as #rrggbb."
        )
    extend = _list("sides to extend", request.extend)
    if len(extend) != 4:
        raise BadRequest(
            f"extend must have 4 numbers (left, top, right, bottom), not {len(extend)}."
        )
    for pixels in extend:
        _check_given("extension", pixels, MAX_EXTENSION)
    regions = tuple(_region(one) for one in _list("regions", request.regions, MAX_REGIONS))
    typed = {
        "images": images, "extend": extend, "regions": regions,
        "task": _choice("task", request.task, Task), "fill": _choice("fill", request.fill, Fill),
        "long_prompt": _choice("long_prompt", request.long_prompt, LongPrompt),
    }  # fmt: skip
    for name, value in typed.items():
        object.__setattr__(request, name, value)


def _check_file(what: str, value: object) -> None:
    check_text(what, value)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_PATH_CHARACTERS:
        raise BadRequest(f"The {what} must be a path or a name, not {value!r:.80}.")


def _check_given(name: str, value: object, high: int) -> None:
    if value is None:
        raise BadRequest(f"The {name} must be a whole number, not None.")
    check_whole(name, value, 0, high)


def _list(what: str, values: object, most: int | None = None) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise BadRequest(f"The {what} must be a list, not {values!r:.80}.")
    if most is not None and len(values) > most:
        raise BadRequest(
            f"A request takes at most {most} {what}, not {len(values)}.", "Leave some out."
        )
    return tuple(values)


def _region(value: object) -> Region:
    if isinstance(value, Region):
        return value
    if not isinstance(value, dict) or value.keys() != {"prompt", "mask"}:
        raise BadRequest(f"A region needs a prompt and a mask, not {value!r:.80}.")
    return Region(**value)


def _choice(name: str, value: object, kind: type[_Kind]) -> _Kind:
    if not isinstance(value, str) or value not in set(kind):
        raise BadRequest(
            f"The {name} {value!r:.40} is not known.", f"Choose one of {', '.join(kind)}."
        )
    return kind(value)


def _loras(values: object) -> tuple[Lora, ...]:
    """Return the adapters of a request, given as such or as JSON values."""
    given = _list("LoRAs", values, MAX_LORAS)
    return tuple(value if isinstance(value, Lora) else _lora(value) for value in given)


def _lora(value: object) -> Lora:
    if not isinstance(value, dict) or not {"name"} <= value.keys() <= {"name", "weight"}:
        raise BadRequest(f"A LoRA needs a name and may have a weight, not {value!r:.80}.")
    return Lora(**value)
