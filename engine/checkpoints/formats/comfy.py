"""Quantised weights by ComfyUI's present convention: `X.weight_scale` beside `X.weight`.

What else is to know about `X` is a JSON object: in the bytes of `X.comfy_quant`, or for all at
once in the metadata under `_quantization_metadata`. Without either, float8 and int8 numbers are
taken as plainly scaled. `X.input_scale` belongs to quantised activations and is not needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from engine import strict_json
from engine.checkpoints.files import label
from engine.checkpoints.formats.blocks import MXFP8, NVFP4, mxfp8, nvfp4
from engine.checkpoints.formats.door import Claim, Stored
from engine.checkpoints.formats.rows import FLOAT8, INT8, by_rows, rejected
from engine.checkpoints.formats.squares import squares
from engine.checkpoints.header import MAX_HEADER_BYTES, Header, excerpts
from engine.errors import FileRejected

SCALE: Final = ".weight_scale"
OPTIONS: Final = ".comfy_quant"
METADATA: Final = "_quantization_metadata"
PREFIXES: Final = ("", "model.diffusion_model.", "diffusion_model.")
"""What may stand before a layer's name in the file, though not in the metadata."""

BY_ROWS: Final = {
    "float8_e4m3fn": "F8_E4M3",
    "float8_e4m3fn_rowwise": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int8_tensorwise": INT8,
}
"""Formats of one scale a row or for all, with the number type of their values."""

BY_SQUARES: Final = ("float8_e4m3fn_blockwise", "int8_blockwise")
"""Formats of one scale for each square of `group_size` numbers a side."""

KINDS: Final = {INT8: "int8 (ComfyUI)", **dict.fromkeys(FLOAT8, "fp8 (scaled)")}
ROTATED: Final = "int8 (ConvRot)"
ROTATION: Final = "convrot"
ROTATION_GROUPS: Final = frozenset({4, 16, 64, 256, 1024, 4096})
KNOWN_SWITCHES: Final = frozenset({ROTATION, "full_precision_matrix_mult"})
"""Options that may be true; any other could change what the numbers mean."""

_GROUP: Final = 256
_LARGEST_SIDE: Final = 4096
_MAX_OPTIONS_BYTES: Final = 4096
_COMPANIONS: Final = (".weight", SCALE, OPTIONS, ".weight_scale_2", ".input_scale")


@dataclass(frozen=True, slots=True)
class Layer:
    """One quantised layer of a file, with its options."""

    header: Header
    module: str
    options: Mapping[str, Any]

    @property
    def weight(self) -> str:
        """Name of its weight."""
        return f"{self.module}.weight"

    @property
    def scale(self) -> str:
        """Name of its scales."""
        return self.module + SCALE

    def switch(self, name: str) -> bool:
        """Return an option that is true or false; false where it is absent."""
        value = self.options.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.rejected(f"has {name} {value!r:.40}, which is neither true nor false")
        return bool(value)

    def side(self, name: str, default: int | None = None) -> int:
        """Return an option that counts numbers."""
        value = self.options.get(name, default)
        if type(value) is not int or not 1 <= value <= _LARGEST_SIDE:
            raise self.rejected(f"has {name} {value!r:.40}, not a number 1 to {_LARGEST_SIDE}")
        return value

    def rejected(self, fault: str) -> FileRejected:
        """Say what is wrong with it."""
        return rejected(self.header, self.weight, fault)


def claim(header: Header) -> Claim:
    """Find weights with options or a `weight_scale`.

    Raises `FileRejected` for unknown formats and for scales that misfit.
    """
    options = {**_from_metadata(header), **_from_tensors(header)}
    for name in header.tensors:
        module = name.removesuffix(SCALE)
        if module != name and module not in options and _plainly_scaled(header, module):
            options[module] = {}
    weights, used = {}, set[str]()
    for module, found in options.items():
        weights[f"{module}.weight"] = _stored(Layer(header, module, found))
        used |= {module + ending for ending in _COMPANIONS}
    return Claim(weights=weights, used=frozenset(used & header.tensors.keys()))


def _plainly_scaled(header: Header, module: str) -> bool:
    entry = header.tensors.get(f"{module}.weight")
    return entry is not None and entry.dtype in KINDS


def _from_metadata(header: Header) -> dict[str, dict[str, Any]]:
    """Return the options that the metadata holds, by module."""
    text = header.metadata.get(METADATA)
    if text is None:
        return {}
    what = f"{label(header.path)}: its {METADATA}"
    table = strict_json.parse(text.encode("utf-8", "replace"), what, max_bytes=MAX_HEADER_BYTES)
    layers = table.get("layers") if isinstance(table, dict) else None
    if not isinstance(layers, dict):
        raise FileRejected(f"{what} lists no layers.", "Download it again.")
    return {_in_file(header, name): _checked(options, what) for name, options in layers.items()}


def _in_file(header: Header, name: str) -> str:
    """Return a layer's name in the file."""
    for prefix in PREFIXES:
        if f"{prefix}{name}.weight" in header.tensors:
            return prefix + name
    return name


def _from_tensors(header: Header) -> dict[str, dict[str, Any]]:
    """Return the options that lie in tensors, by module."""
    found = {}
    for name, text in _texts(header):
        what = f"{label(header.path)}: {name!r}"
        options = strict_json.parse(text, what, max_bytes=_MAX_OPTIONS_BYTES)
        found[name.removesuffix(OPTIONS)] = _checked(options, what)
    return found


def _checked(options: object, what: str) -> dict[str, Any]:
    if not isinstance(options, dict) or not isinstance(options.get("format"), str):
        raise FileRejected(f"{what} names no format.", "Download it again.")
    return options


def _texts(header: Header) -> Iterator[tuple[str, bytes]]:
    """Read the tensors that hold text, of which a file may have one for each layer."""
    places = {}
    for name, entry in header.tensors.items():
        if not name.endswith(OPTIONS):
            continue
        if entry.end - entry.start > _MAX_OPTIONS_BYTES:
            raise FileRejected(f"{label(header.path)}: {name!r} holds no short text.")
        places[name] = entry.start, entry.end
    yield from zip(places, excerpts(header, [*places.values()]), strict=True)


def _stored(layer: Layer) -> Stored:
    """Describe a layer; its options name a format unless they are empty."""
    form = layer.options.get("format")
    switched_on = {name for name, value in layer.options.items() if value is True}
    for name in sorted(switched_on - KNOWN_SWITCHES):
        raise layer.rejected(f"has the option {name!r:.40}, which is not known")
    if layer.switch(ROTATION):
        return _rotated(layer)
    if form is None:
        return _by_rows(layer, KINDS)
    if form in BY_ROWS:
        return _by_rows(layer, {BY_ROWS[form]: KINDS[BY_ROWS[form]]})
    if form in BY_SQUARES:
        return squares(layer.header, layer.weight, layer.scale, layer.side("group_size"))
    if form == NVFP4:
        whole = {"scale": f"{layer.module}.weight_scale_2"}
        return nvfp4(layer.header, layer.module, whole, low_first=False)
    if form == MXFP8:
        return mxfp8(layer.header, layer.module)
    raise layer.rejected(f"has the format {form!r:.40}, which is not known")


def _by_rows(layer: Layer, kinds: Mapping[str, str]) -> Stored:
    tensors = {"values": layer.weight, "scales": layer.scale}
    return by_rows(layer.header, layer.weight, tensors, kinds)


def _rotated(layer: Layer) -> Stored:
    """Describe int8 numbers whose groups of columns were turned before they were quantised."""
    form, group = layer.options.get("format"), layer.side("convrot_groupsize", _GROUP)
    stored = _by_rows(layer, {INT8: ROTATED})
    if form != "int8_tensorwise" or group not in ROTATION_GROUPS or stored.shape[1] % group:
        raise layer.rejected(
            f"is {form!r:.40} with convrot in groups of {group} of {stored.shape[1]} columns"
        )
    return replace(stored, packing="rotated", options={"group": group})
