"""The recipe inside a picture: how it was made, for us and for other tools.

A recipe holds {"version", "program", "request", "model_hash", "precision", "plan", "warnings"}.
"""

from __future__ import annotations

import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path, PureWindowsPath
from types import MappingProxyType
from typing import Any, BinaryIO, Final

from engine import strict_json
from engine.errors import BadRequest, FileRejected
from engine.images import jpeg, png
from engine.images.exif import description
from engine.images.jpeg import read_jpeg
from engine.images.webp import read_webp
from engine.inputs import PREFIX
from engine.request import MAX_PROMPT_CHARACTERS, Request
from engine.storage import open_plain, without_home

VERSION = 1
PROGRAM = "Atelier Z"
RECIPE, PARAMETERS = "recipe", "parameters"
# Both texts at their longest with every character written as an escaped surrogate pair.
MAX_RECIPE_BYTES = 2 * 12 * MAX_PROMPT_CHARACTERS + 100_000

_KEYWORD = RECIPE.encode() + b"\0"
_TEXT_KINDS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_NOT_RESTORED = frozenset({"device"})
_INPUT = re.compile(re.escape(PREFIX) + "[0-9a-f]{64}")
NO_FACTS: Final[Mapping[str, object]] = MappingProxyType({})
# A folder path from a root, a drive or a share, up to its last separator.
_FOLDERS = re.compile(r"(?<![\w./\\:])(?:[A-Za-z]:)?[\\/]{1,2}(?:[^\s\\/'\"][^\n\\/'\"]*[\\/])+")


def make_recipe(
    request: Request,
    *,
    model_hash: str,
    precision: str,
    plan: str,
    warnings: Sequence[str],
    facts: Mapping[str, object] = NO_FACTS,
) -> dict[str, object]:
    """Return the recipe of one picture.

    `request` holds the picture's own seed, count 1 and every default filled in. A model given as a
    path is named by its folder; absolute paths and the user's name in them are never kept. Pictures
    to begin with are named by what they hold. facts: "size" in pixels, where it follows from them,
    and "outside", the pixels beyond a mask and how many of them changed.
    """
    model = _file_name(request.model)
    loras = [{**asdict(lora), "name": _file_name(lora.name)} for lora in request.loras]
    values = {**_with_inputs_named(request).to_json(), "model": model, "loras": loras}
    return {
        **facts,
        "version": VERSION,
        "program": PROGRAM,
        "request": values,
        "model_hash": model_hash,
        "precision": precision,
        "plan": _without_folders(plan),
        "warnings": [_without_folders(warning) for warning in warnings],
    }


def write_text(recipe: dict[str, object]) -> dict[str, str]:
    """Return a picture's text chunks: `recipe` in JSON, `parameters` as other tools read it."""
    return {
        RECIPE: json.dumps(recipe, allow_nan=False, separators=(",", ":")),
        PARAMETERS: _parameters(recipe),
    }


def read_recipe(source: Path | bytes) -> dict[str, object]:
    """Return the recipe inside a picture; its values are unchecked (see `request_from_recipe`).

    Raise `NotFound`, or `FileRejected` for a file that is no PNG, JPEG or WEBP, or holds no
    readable recipe.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else open_plain(source) as stream:
        data = _find_recipe(stream)
    what = "The recipe in the picture"
    recipe = strict_json.parse(data, what, max_bytes=MAX_RECIPE_BYTES)
    if not isinstance(recipe, dict):
        raise FileRejected(f"{what} is not a list of named values.")
    return recipe


def request_from_recipe(recipe: dict[str, object]) -> tuple[Request, tuple[str, ...]]:
    """Return a checked request to propose to the user, and a note for each value left out.

    The device is not restored: it belongs to the machine. Raise `FileRejected` if the recipe has
    no request at all.
    """
    values = recipe.get("request")
    if not isinstance(values, dict):
        raise FileRejected("The recipe holds no request.", "Choose another picture.")
    notes = []
    version = recipe.get("version")
    if version != VERSION:
        notes.append(f"The recipe has version {version!r:.40}; this program knows {VERSION}.")
    if "prompt" not in values:
        notes.append("The recipe holds no prompt.")
    request = Request(prompt="")
    defaults = request.to_json()
    for name, value in values.items():
        if name not in defaults:
            notes.append(f"The recipe's {name!r:.80} is not known here and left out.")
        elif name not in _NOT_RESTORED:
            request, problem = _take(request, name, value)
            notes.extend(problem)
    return request, tuple(notes)


def _take(request: Request, name: str, value: object) -> tuple[Request, list[str]]:
    """Return the request with one value more, or unchanged with the reason."""
    default = getattr(request, name)
    if (isinstance(default, str) and not isinstance(value, str)) or (
        value is None and default is not None
    ):
        return request, [f"The recipe's {name} is {value!r:.80} and left out."]
    # A path of another machine: opening one can even reach over the network.
    if name in _INPUTS and not all(map(_INPUT.fullmatch, _INPUTS[name](value))):
        return request, [f"The recipe's {name} cannot be found again, and is left out."]
    if name in _NAMES and any(found != _last_name(found) for found in _NAMES[name](value)):
        return request, [f"The recipe's {name} {value!r:.80} is a path and left out."]
    changed: dict[str, Any] = {**request.to_json(), name: value}
    try:
        return Request.from_json(changed), []
    except BadRequest as error:
        return request, [f"{error.message:.200} The recipe's value is left out."]


def _find_recipe(stream: BinaryIO) -> bytes:
    head = stream.read(12)
    if head.startswith(png.SIGNATURE):
        return _find_text(png.chunks(stream))
    if head.startswith(jpeg.START):
        found = description(read_jpeg(stream).exif)
    elif head[:4] == b"RIFF" and head[8:] == b"WEBP":
        found = description(read_webp(stream).exif)
    else:
        raise FileRejected(
            "The file is no PNG, JPEG or WEBP picture.", "Choose one made with this program."
        )
    if found is None:
        raise _no_recipe()
    return found


def _no_recipe() -> FileRejected:
    return FileRejected("The picture holds no recipe.", "Choose one made with this program.")


def _find_text(chunks: Iterable[png.Chunk]) -> bytes:
    """Return the text of the first chunk called `recipe`, unpacked within bounds."""
    for chunk in chunks:
        if chunk.kind in _TEXT_KINDS and chunk.begins_with(_KEYWORD):
            if chunk.length > MAX_RECIPE_BYTES:
                raise FileRejected(f"The recipe in the picture has {chunk.length:,} bytes.")
            return _unpack(chunk.kind, chunk.data().removeprefix(_KEYWORD))
    raise _no_recipe()


def _unpack(kind: bytes, data: bytes) -> bytes:
    packed = kind == b"zTXt"
    body = data[1:] if packed else data
    if kind == b"iTXt":
        packed = data[:1] == b"\1"
        body = data[2:].split(b"\0", 2)[-1]
    if not packed:
        return body
    try:
        return zlib.decompressobj().decompress(body, MAX_RECIPE_BYTES + 1)
    except zlib.error as error:
        raise FileRejected(f"The recipe in the picture is damaged: {error}.") from error


def _parameters(recipe: dict[str, object]) -> str:
    """Return the request in the text form that picture tools share.

    Their CFG scale counts from 1 = off, ours from 0.
    """
    found = recipe["request"]
    request: dict[str, Any] = found if isinstance(found, dict) else {}
    guidance = request["guidance_scale"]
    size = recipe.get("size")
    width, height = size if isinstance(size, list) else (request["width"], request["height"])
    settings = {
        "Steps": request["steps"],
        "Sampler": request["sampler"],
        "CFG scale": None if guidance is None else f"{guidance + 1:g}",
        "Seed": request["seed"],
        "Size": f"{width}x{height}",
        "Model": request["model"],
        "Model hash": recipe["model_hash"] or None,
        "Shift": request["shift"],
        "Version": PROGRAM,
    }
    lines = [request["prompt"]]
    if request["negative"]:
        lines.append(f"Negative prompt: {request['negative']}")
    lines.append(
        ", ".join(f"{name}: {value}" for name, value in settings.items() if value is not None)
    )
    # A lone surrogate has no UTF-8 form; the recipe keeps it escaped.
    return "\n".join(lines).encode("utf-8", "replace").decode()


def _file_name(path: str) -> str:
    """Return the name of a file or folder, without the way to it."""
    # `.` and `..` say no name of their own.
    return _last_name(path) or Path(path).resolve().name


def _lora_names(value: object) -> list[str]:
    """Return the names of a recipe's LoRAs, whatever is wrong with the rest of them."""
    entries = value if isinstance(value, list | tuple) else []
    return [str(entry.get("name", "")) for entry in entries if isinstance(entry, dict)]


def _with_inputs_named(request: Request) -> Request:
    """Return a request in which no picture is given by a path that leads anywhere."""
    regions = (replace(region, mask=_last_name(region.mask)) for region in request.regions)
    return request.with_values(
        images=tuple(map(_last_name, request.images)),
        mask=None if request.mask is None else _last_name(request.mask),
        regions=tuple(regions),
    )


def _region_masks(value: object) -> list[str]:
    """Return the masks of a recipe's regions, whatever is wrong with the rest of them."""
    entries = value if isinstance(value, list | tuple) else []
    return [str(entry.get("mask", "")) for entry in entries if isinstance(entry, dict)]


_INPUTS: Final[Mapping[str, Callable[[object], list[str]]]] = MappingProxyType(
    {
        "images": lambda value: list(map(str, value)) if isinstance(value, list | tuple) else [],
        "mask": lambda value: [] if value is None else [str(value)],
        "regions": _region_masks,
    }
)
"""The names of pictures to begin with, by field; only kept ones can be found again."""

_NAMES: Final[Mapping[str, Callable[[object], list[str]]]] = MappingProxyType(
    {"model": lambda value: [str(value)], "loras": _lora_names}
)
"""The names of files in a request's fields, which must not lead anywhere."""


def _last_name(path: str) -> str:
    """Return the last component of a path of any system; a plain name stays as it is."""
    name = PureWindowsPath(path).name
    return "" if name == ".." else name


def _without_folders(text: str) -> str:
    """Return a text whose absolute paths are cut to their last component."""
    return _FOLDERS.sub("", without_home(text))
