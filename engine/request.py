"""What the user wants, as one frozen, validated value with names."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

from engine.errors import BadRequest

MAX_PROMPT_CHARACTERS = 100_000
MAX_PIXELS = 32_000_000
MIN_SIDE = 64
MAX_SIDE = 8192
SIDE_MULTIPLE = 16
MAX_STEPS = 1000
MAX_COUNT = 64
MAX_SEED = 2**63 - 1
MAX_NAME_CHARACTERS = 40
MAX_PATH_CHARACTERS = 4096
MAX_LORAS = 32
MAX_LORA_WEIGHT = 2.0
MAX_SHOWN = 10**30


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


@dataclass(frozen=True, slots=True)
class Lora:
    """An adapter file and how strongly it acts.

    name: a path, or a file of the LoRA folder. weight: -2 to 2; at 0 it is not there.
    """

    name: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Check both; raise `BadRequest`."""
        _check_text("LoRA", self.name)
        if not 0 < len(self.name) <= MAX_PATH_CHARACTERS:
            raise BadRequest(f"The LoRA must be a path or a name, not {self.name!r:.80}.")
        if self.weight is None:
            raise BadRequest(f"The LoRA {self.name!r:.80} has no weight.", "Leave it at 1.")
        _check_number(
            f"weight of the LoRA {self.name!r:.80}", self.weight, -MAX_LORA_WEIGHT, MAX_LORA_WEIGHT
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A text-to-image job. None means: the default of the model variant.

    seed: noise of picture i is seeded with seed + i; None draws one.
    guidance_scale g: pos + g * (pos - neg), 0 = off. shift: of the noise schedule.
    cfg_normalization c: caps the norm of the guided prediction at c times the unguided, 0 = off.
    cfg_truncation T: guidance stops once 1 - sigma > T.
    step_cache: a step whose first layer changes less than this, relatively, reuses the others'
    result of the step before; 0 = off. Faster, and not quite the same picture.
    width, height: pixels, multiples of 16.
    loras: all act at once. lora_partial: apply one though many of its parts fit nothing.
    variant: what the model is, where its file cannot tell; None: as the file says.
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

    def __post_init__(self) -> None:
        """Check every value; raise `BadRequest` naming the first bad one and the next step."""
        _check_text("prompt", self.prompt)
        _check_text("negative prompt", self.negative)
        _check_text("model", self.model)
        _check_name("sampler", self.sampler)
        _check_name("device", self.device)
        _check_whole("seed", self.seed, 0, MAX_SEED)
        _check_whole("number of steps", self.steps, 1, MAX_STEPS)
        _check_whole("number of pictures", self.count, 1, MAX_COUNT)
        _check_number("guidance", self.guidance_scale, 0.0, 100.0)
        _check_number("shift", self.shift, 0.01, 100.0)
        _check_number("cfg normalization", self.cfg_normalization, 0.0, 100.0)
        _check_number("cfg truncation", self.cfg_truncation, 0.0, 1.0)
        _check_number("step cache", self.step_cache, 0.0, 1.0)
        _check_side("width", self.width)
        _check_side("height", self.height)
        if (self.width or 0) * (self.height or 0) > MAX_PIXELS:
            raise BadRequest(
                f"The picture would have {self.width} x {self.height} pixels, more than "
                f"{MAX_PIXELS // 1_000_000} million.",
                "Choose a smaller size.",
            )
        if self.variant is not None:
            _check_name("variant", self.variant)
        if not isinstance(self.lora_partial, bool):
            raise BadRequest(f"lora_partial must be true or false, not {self.lora_partial!r:.80}.")
        object.__setattr__(self, "precision", _precision(self.precision))
        object.__setattr__(self, "loras", _loras(self.loras))

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON values, by field name; LoRAs as name and weight."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**values, "loras": [asdict(lora) for lora in self.loras]}

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


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise BadRequest(f"The {name} must be text, not {value!r:.80}.")
    if len(value) > MAX_PROMPT_CHARACTERS:
        raise BadRequest(
            f"The {name} has {len(value):,} characters, more than {MAX_PROMPT_CHARACTERS:,}.",
            "Shorten it.",
        )
    if "\0" in value:
        raise BadRequest(f"The {name} contains a NUL character.", "Remove it.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise BadRequest(f"The {name} is not proper Unicode text.", "Type it anew, in UTF-8.")


def _check_name(name: str, value: object) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_CHARACTERS:
        raise BadRequest(f"The {name} must be a short name, not {value!r:.80}.")


def _precision(value: object) -> Precision:
    if not isinstance(value, str) or value not in set(Precision):
        raise BadRequest(
            f"The precision {value!r:.40} is not known.", f"Choose one of {', '.join(Precision)}."
        )
    return Precision(value)


def _loras(values: object) -> tuple[Lora, ...]:
    """Return the adapters of a request, given as such or as JSON values."""
    if not isinstance(values, list | tuple) or len(values) > MAX_LORAS:
        raise BadRequest(f"The LoRAs must be a list of at most {MAX_LORAS}, not {values!r:.80}.")
    return tuple(value if isinstance(value, Lora) else _lora(value) for value in values)


def _lora(value: object) -> Lora:
    if not isinstance(value, dict) or not {"name"} <= value.keys() <= {"name", "weight"}:
        raise BadRequest(f"A LoRA needs a name and may have a weight, not {value!r:.80}.")
    return Lora(**value)


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest(f"The {name} must be a whole number, not {value!r:.80}.")
    if not low <= value <= high:
        raise BadRequest(f"The {name} is {_shown(value)}, but must lie between {low} and {high}.")


def _check_number(name: str, value: object, low: float, high: float) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"The {name} must be a number, not {value!r:.80}.")
    if not low <= value <= high:
        raise BadRequest(
            f"The {name} is {_shown(value)}, but must lie between {low:g} and {high:g}."
        )


def _shown(value: float) -> str:
    """Write a number for a message; one of thousands of digits would not even print."""
    return "far too large" if isinstance(value, int) and abs(value) >= MAX_SHOWN else str(value)


def _check_side(name: str, value: object) -> None:
    _check_whole(name, value, MIN_SIDE, MAX_SIDE)
    if isinstance(value, int) and value % SIDE_MULTIPLE:
        lower = value - value % SIDE_MULTIPLE
        raise BadRequest(
            f"The {name} is {value}, but must be a multiple of {SIDE_MULTIPLE}.",
            f"Use {max(lower, MIN_SIDE)} or {lower + SIDE_MULTIPLE}.",
        )
