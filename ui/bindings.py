"""The one map between the widgets of the page and a `Request`, by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from engine import BadRequest, Request, Variant
from ui import strings
from ui.chosen import Chosen, loras_of, write_chosen

_SEED = re.compile(r"-?[0-9]{1,19}")

NEUTRAL: Final[Mapping[str, str | float]] = MappingProxyType(
    {"negative": "", "cfg_normalization": 0.0, "cfg_truncation": 1.0}
)
"""What the controls that only guidance uses say when they say nothing."""


def _text(value: object) -> object:
    return "" if value is None else value


def _whole(value: object) -> object:
    """Return 8 for 8.0, as a number field sends it; anything else is left for the request."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _seed(value: object) -> int | None:
    """Read a seed from its text field; number fields of a browser end at 2**53."""
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if not _SEED.fullmatch(text):
        raise BadRequest(
            f"The seed is {text!r:.40}, but must be a whole number.",
            "Leave it empty for a random one.",
        )
    return int(text)


def _as_it_is(value: object) -> object:
    return value


def _named(value: object) -> object:
    """Read the name of a file; a component of ours without one holds an empty text."""
    return value or None


def _listed(value: object) -> object:
    """Read a list from the JSON that a component of ours holds; "" is an empty one."""
    if value is None or value == "":
        return ()
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise BadRequest(f"{value!r:.80} is no list.", "Load the page again.") from error


_COMMON: Final[Mapping[str, Callable[[object], Any]]] = MappingProxyType(
    {
        "prompt": _text,
        "negative": _text,
        "model": _text,
        "seed": _seed,
        "steps": _whole,
        "guidance_scale": _as_it_is,
        "shift": _as_it_is,
        "sampler": _as_it_is,
        "width": _whole,
        "height": _whole,
        "count": _whole,
        "cfg_normalization": _as_it_is,
        "cfg_truncation": _as_it_is,
        "step_cache": _as_it_is,
        "loras": loras_of,
        "lora_partial": _as_it_is,
    }
)
COMMON: Final = tuple(_COMMON)
"""The fields of a request that every tab has a widget for."""
READERS: Final[Mapping[str, Callable[[object], Any]]] = MappingProxyType(
    {
        **_COMMON,
        "long_prompt": _as_it_is,
        "task": _as_it_is,
        "images": _listed,
        "mask": _named,
        "strength": _as_it_is,
        "feather": _whole,
        "fill": _as_it_is,
        "fill_colour": _as_it_is,
        "soft": _as_it_is,
        "masked_only": _as_it_is,
        "context": _whole,
        "extend": _listed,
        "regions": _listed,
    }
)
"""How each widget's value is read, by the name of the request's field."""


def to_request(values: Mapping[str, object]) -> Request:
    """Build the request that the widgets describe; raise `BadRequest` for the first bad value.

    An empty number field means the model's default; a control without effect is left out.
    """
    request = read(values)
    if not request.prompt.strip():
        raise BadRequest(strings.NO_PROMPT, strings.NO_PROMPT_ACTION)
    if request.guidance_scale == 0:
        return request.with_values(**NEUTRAL)
    return request


def read(values: Mapping[str, object]) -> Request:
    """Build a request of what some widgets say, the prompt among them; raise `BadRequest`.

    An empty number field means the model's default.
    """
    found = {name: READERS[name](value) for name, value in values.items() if name in READERS}
    return Request(**{name: value for name, value in found.items() if value is not None})


def to_widgets(request: Request, variant: Variant) -> dict[str, object]:
    """Return what each common widget shows for a request; open values are the model's defaults."""
    values = {**request.to_json(), "seed": "" if request.seed is None else str(request.seed)}
    chosen = (Chosen(name=lora.name, weight=lora.weight) for lora in request.loras)
    values["loras"] = write_chosen(chosen)
    for name, value in defaults(variant).items():
        if values[name] is None:
            values[name] = value
    return {name: values[name] for name in COMMON}


def defaults(variant: Variant) -> dict[str, object]:
    """Return what the widgets show after a model is chosen, for those that the model sets."""
    chosen = variant.defaults
    return {
        "negative": chosen.negative,
        "steps": chosen.steps,
        "guidance_scale": chosen.guidance_scale,
        "shift": chosen.shift,
        "width": chosen.width,
        "height": chosen.height,
    }


def ignored(variant: Variant, guidance_scale: object) -> dict[str, str]:
    """Return the controls without effect and the reason for each, by name.

    What a model ignores at its defaults it heeds once guidance is on, and the other way round.
    """
    reasons = {found.control: found.reason for found in variant.ignores}
    for name in NEUTRAL:
        if guidance_scale:
            reasons.pop(name, None)
        else:
            reasons.setdefault(name, strings.NO_GUIDANCE)
    return reasons
