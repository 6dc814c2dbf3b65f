"""Full presets: the settings of a form under a name, and the user's own defaults of a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from types import MappingProxyType
from typing import Any, Final

from engine.errors import BadRequest, FileRejected
from engine.presets.files import MAX_FILE_BYTES, check_object, check_title, name_of, read_object
from engine.request import Request
from engine.storage import atomic_write, make_folder

KEPT: Final = (
    "prompt", "negative", "model", "steps", "guidance_scale", "shift", "sampler", "width", "height",
    "count", "cfg_normalization", "cfg_truncation", "step_cache", "loras", "lora_partial",
    "long_prompt", "strength", "feather", "fill", "fill_colour", "soft", "masked_only", "context",
)  # fmt: skip
"""The fields of a request that a preset may hold."""

DEFAULTS: Final = ("negative", "steps", "guidance_scale", "shift", "width", "height")
"""The fields that the user's own defaults of a model may hold."""

_FIELDS: Final = ("title", "settings")
_OPTIONAL: Final = ("note", "style")
_MAX_NOTE: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Settings under a name. settings: checked JSON values by field of a request.

    note: what it is for. style: the title of one. notices: what was left out, and why.
    """

    title: str
    settings: Mapping[str, object]
    note: str = ""
    style: str | None = None
    notices: tuple[str, ...] = ()


def read_preset(path: Path) -> Preset:
    """Read a full preset; single settings that cannot be are left out and told.

    Raise `NotFound`, or `FileRejected` for a file that is no preset.
    """
    what = name_of(path)
    values = read_object(path, _FIELDS, _OPTIONAL, max_depth=5)
    settings, notices = check_settings(values["settings"], what, KEPT)
    style = values.get("style")
    return Preset(
        title=check_title(values["title"], what),
        settings=settings,
        note=_note(values.get("note", ""), what),
        style=None if style is None else check_title(style, what),
        notices=notices,
    )


def read_defaults(path: Path) -> tuple[Mapping[str, object], tuple[str, ...]]:
    """Return the user's own defaults of a model, and what was left out of them.

    Raise `NotFound`, or `FileRejected` for a file that holds none.
    """
    values = read_object(path, ("settings",), max_depth=3)
    return check_settings(values["settings"], name_of(path), DEFAULTS)


def write_settings(path: Path, values: Mapping[str, object]) -> None:
    """Write a preset or defaults; raise `BadRequest` where it is too long, or `DiskError`."""
    data = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False).encode()
    if len(data) > MAX_FILE_BYTES:
        raise BadRequest(
            f"The preset would have {len(data):,} bytes, more than {MAX_FILE_BYTES:,}.",
            "Shorten its prompt.",
        )
    make_folder(path.parent)
    atomic_write(path, data)


def check_settings(
    values: object, what: str, known: tuple[str, ...]
) -> tuple[Mapping[str, object], tuple[str, ...]]:
    """Return the settings that a request may have, and why the others are left out.

    Raise `FileRejected` for what holds no named values.
    """
    found: dict[str, object] = {}
    notices: list[str] = []
    given = values if isinstance(values, dict) else check_object(values, what, ())
    for name, value in given.items():
        fault = _fault(name, value) if name in known else f"{name!r:.80} is not known here."
        if fault is None:
            found[name] = value
        else:
            notices.append(f"{what}: {fault:.200} It is left out.")
    return MappingProxyType(found), tuple(notices)


def _fault(name: str, value: object) -> str | None:
    """Say what is wrong with one setting, if anything is."""
    if value is None:
        return f"{name} has no value."
    if not all(map(_is_name, _files(name, value))):
        return f"The {name} {value!r:.80} must be a name, without a path."
    given: dict[str, Any] = {"prompt": "", name: value}
    try:
        Request.from_json(given)
    except BadRequest as error:
        return error.message
    return None


def _files(name: str, value: object) -> list[str]:
    """Return the names of files in a setting: a path would lead to where a stranger wants."""
    if name == "model":
        return [str(value)]
    entries = value if name == "loras" and isinstance(value, list) else []
    return [str(entry.get("name", "")) for entry in entries if isinstance(entry, dict)]


def _is_name(text: str) -> bool:
    return text not in {"", ".", ".."} and PureWindowsPath(text).name == text


def _note(value: object, what: str) -> str:
    if not isinstance(value, str) or len(value) > _MAX_NOTE or not value.isprintable():
        raise FileRejected(f"{what} has the note {value!r:.80}, which cannot be shown.")
    return value
