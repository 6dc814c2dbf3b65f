"""How strongly an adapter acts by itself: alpha, as a tensor of one number or beside the tensors.

A change is scaled by alpha / rank; by alpha / sqrt(rank) where the file says rank-stabilised
(arXiv 2312.03732). Without alpha it is not scaled.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from engine import strict_json
from engine.checkpoints.entry import MAX_NAME_CHARACTERS
from engine.checkpoints.files import label, read_object
from engine.checkpoints.header import Header, TensorEntry
from engine.errors import FileRejected, NotFound
from engine.lora.names import canonical, module_of

ADAPTER_CONFIG: Final = "adapter_config.json"
_PEFT_NAME: Final = "adapter_model.safetensors"
_PEFT_WRAPPER: Final = "base_model.model."
ADAPTER_METADATA: Final = "lora_adapter_metadata"
_MAX_METADATA_BYTES: Final = 1_000_000
_SCALARS: Final = {
    "F64": "<d", "F32": "<f", "F16": "<e", "I64": "<q", "I32": "<i", "I16": "<h", "I8": "<b",
    "U8": "<B",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stated:
    """What stands beside the tensors: alpha for all, for some by module, rank-stabilised or not.

    patterns: ends of modules' names, never expressions, each with its place among them and alpha.
    """

    alpha: float | None = None
    patterns: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    rank_stabilised: bool = False

    def of(self, module: str) -> float | None:
        """Return alpha of one module: that of the first pattern which ends its name."""
        parts = canonical(module).split("_")
        ends = ("_".join(parts[start:]) for start in range(len(parts)))
        found = [self.patterns[end] for end in ends if end in self.patterns]
        return min(found)[1] if found else self.alpha


def read_scalar(file: BinaryIO, entry: TensorEntry) -> float:
    """Return the number in a tensor of one number; NaN where it holds something else."""
    if math.prod(entry.shape) != 1:
        return math.nan
    file.seek(entry.start)
    raw = file.read(entry.end - entry.start)
    code = _SCALARS.get(entry.dtype)
    if entry.dtype == "BF16":
        code, raw = "<f", b"\0\0" + raw
    if code is None or len(raw) != struct.calcsize(code):
        return math.nan
    return float(struct.unpack(code, raw)[0])


def stated_alpha(header: Header, ranks: Collection[int]) -> Stated:
    """Return what a file, or the configuration beside it, says of alpha.

    `ranks` are those of the file: a configuration that names another one belongs to another file.
    So does one beside a file that PEFT did not write.
    """
    inside = _object(header.metadata.get(ADAPTER_METADATA))
    if inside:
        return _of_configuration(inside)
    alpha = _number(_as_float(header.metadata.get("ss_network_alpha")))
    if alpha is not None:
        return Stated(alpha)
    if header.path.name != _PEFT_NAME and not any(
        n.startswith(_PEFT_WRAPPER) for n in header.tensors
    ):
        return Stated()
    try:
        beside = read_object(header.path.with_name(ADAPTER_CONFIG))
    except (NotFound, FileRejected):
        return Stated()
    return _of_configuration(beside) if _number(beside.get("r")) in ranks else Stated()


def _of_configuration(values: Mapping[str, object]) -> Stated:
    """Read PEFT's configuration, whose names may stand behind `transformer.`."""
    plain = {name.removeprefix("transformer."): value for name, value in values.items()}
    return Stated(
        _number(plain.get("lora_alpha", plain.get("alpha"))),
        _patterns(plain.get("alpha_pattern")),
        plain.get("use_rslora") is True,
    )


def _patterns(stated: object) -> dict[str, tuple[int, float]]:
    """Read alpha by ends of modules' names; what is longer than any name fits none."""
    found: dict[str, tuple[int, float]] = {}
    for place, (name, value) in enumerate(stated.items() if isinstance(stated, dict) else ()):
        alpha = _number(value)
        if alpha is not None and len(name) <= MAX_NAME_CHARACTERS:
            found.setdefault(canonical(module_of(name)), (place, alpha))
    return found


def _object(text: str | None) -> dict[str, object]:
    """Return a JSON object of the metadata; nothing where it holds something else."""
    if text is None:
        return {}
    try:
        value = strict_json.parse(
            text.encode("utf-8", "replace"), "It", max_bytes=_MAX_METADATA_BYTES
        )
    except FileRejected:
        return {}
    return value if isinstance(value, dict) else {}


def _as_float(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _number(value: object) -> float | None:
    """Return a finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def finite(value: float, header: Header, name: str) -> float:
    """Return a number read from `name`; raise `FileRejected` unless it is one."""
    if math.isfinite(value):
        return value
    raise FileRejected(
        f"{label(header.path)}: {name!r:.80} holds no finite number.", "Download it again."
    )
