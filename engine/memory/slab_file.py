"""Slabs in a file of the cache: safetensors, one tensor of bytes a slab.

The header also tells where tensors lie in each. Such a file is written for a network in one number
type, and read by every later start that streams no other pieces of it; else it is written anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, cast

from torch import Tensor, nn

from engine import strict_json
from engine.checkpoints.header import Header, header_of
from engine.checkpoints.tensors import TORCH_TYPES
from engine.errors import DiskError, FileRejected, NotFound
from engine.memory.slab import Cell, Slab, tensors_of
from engine.storage import atomic_stream, make_folder, open_plain, sweep_temporary

ENDING: Final = ".slabs.safetensors"
VERSION: Final = 1
SPARE_BYTES: Final = 4 << 30
"""Room on the disk that is left to others."""

KEPT_FILES: Final = 6
"""Files beside a new one; those written the longest ago go first."""

_LENGTH_BYTES: Final = 8
_HEADER_BYTES: Final = 1 << 20
"""Reserved for the header, which is known last."""

_READ_AT_ONCE: Final = 1 << 26
_TYPES: Final = {str(dtype).removeprefix("torch."): dtype for dtype in TORCH_TYPES.values()}

_log = logging.getLogger(__name__)

Row = tuple[str, str, str, Sequence[int], Sequence[int], int]
"""A cell in words: path of its owner, leaf, number type, shape, strides, offset."""


class SlabFile:
    """An open file of slabs. damaged: whether a read failed."""

    def __init__(self, header: Header, stream: BinaryIO) -> None:
        self.header = header
        self.damaged = False
        self._stream = stream
        self._lock = threading.Lock()

    def read(self, name: str, target: Tensor) -> None:
        """Fill `target`, [size] uint8 in host memory, with the slab of this name."""
        entry = self.header.tensors[name]
        view = memoryview(target.numpy())  # type: ignore[arg-type]
        try:
            with self._lock:
                self._stream.seek(entry.start)
                self._fill(view)
        except OSError as error:
            self.damaged = True
            raise FileRejected(
                f"{self.header.path.name} in the cache cannot be read: {error.strerror or error}.",
                "Try again: it is written anew.",
            ) from error

    def _fill(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            count = self._stream.readinto(view[done : done + _READ_AT_ONCE])  # type: ignore[attr-defined]
            if not count:
                raise OSError("it was cut short while in use")
            done += count

    def close(self) -> None:
        """Close it."""
        self._stream.close()


@dataclass(frozen=True, slots=True)
class Identity:
    """What the slabs of a network follow from, and nothing else does.

    network: its name. digest: of its weights. facts: number types and device, and at the end the
    stamps of its files.
    """

    network: str
    digest: str
    facts: tuple[object, ...]

    @property
    def key(self) -> str:
        """Hexadecimal digits that name all of it."""
        facts = json.dumps([VERSION, self.network, self.digest, self.facts])
        return hashlib.sha256(facts.encode()).hexdigest()

    def path(self, folder: Path) -> Path:
        """Return where the file lies in the folder of slabs."""
        return folder / f"{self._stem}{self.key[:16]}{ENDING}"

    def outdated(self, folder: Path) -> list[Path]:
        """Return files of the same weights, number types and device with other stamps."""
        return [p for p in folder.glob(f"{self._stem}*{ENDING}") if p != self.path(folder)]

    @property
    def _stem(self) -> str:
        kind = json.dumps([self.digest, self.facts[:-1]])
        return f"{self.network}-{hashlib.sha256(kind.encode()).hexdigest()[:12]}-"


def open_slabs(folder: Path, identity: Identity, names: Collection[str]) -> SlabFile | None:
    """Return the file that holds at least the slabs of these names; None if there is none."""
    path = identity.path(folder)
    with ExitStack() as undo:
        try:
            # Of the open file: another process may put a newer one in its place.
            stream = undo.enter_context(open_plain(path))
            header = header_of(stream, path)
        except NotFound:
            return None
        except FileRejected as error:
            _log.warning("slabs are written anew: %s", error.message)
            return None
        if header.metadata.get("key") == identity.key and set(names) <= header.tensors.keys():
            undo.pop_all()
            return SlabFile(header, stream)
    return None


def cells_of(file: SlabFile, name: str, module: nn.Module) -> tuple[Cell, ...]:
    """Return where the tensors of a module lie in its slab; raise `FileRejected` for other modules.

    What the file says is checked against the module, and against the size of the slab.
    """
    size = file.header.tensors[name].end - file.header.tensors[name].start
    try:
        rows: list[Row] = _layout(file)[name]
        cells = tuple(_cell(module, row) for row in rows)
        complete = {(cell.path, cell.leaf) for cell in cells} >= {
            (path, leaf) for _, path, leaf, _ in tensors_of(module)
        }
        ends = [0, *(cell.end for cell in cells)]
        in_line = [cell.offset for cell in cells] == ends[:-1] and ends[-1] == size
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _odd(file, name) from error
    if not (complete and in_line and all(map(_fits, cells))):
        raise _odd(file, name)
    return cells


def _layout(file: SlabFile) -> dict[str, list[Row]]:
    text = file.header.metadata["layout"].encode()
    return cast(dict[str, list[Row]], strict_json.parse(text, "It", max_bytes=_HEADER_BYTES))


def _odd(file: SlabFile, name: str) -> FileRejected:
    return FileRejected(f"{file.header.path.name} in the cache does not describe {name}.")


def _cell(module: nn.Module, row: Row) -> Cell:
    path, leaf, kind, shape, stride, offset = row
    owner = module.get_submodule(path)
    if leaf not in {*owner._parameters, *owner._buffers}:
        raise KeyError(leaf)
    numbers = (*shape, *stride, offset)
    if len(shape) != len(stride) or any(type(n) is not int or n < 0 for n in numbers):
        raise ValueError(f"{numbers} are no shape, strides and offset")
    return Cell(owner, path, leaf, offset, tuple(shape), tuple(stride), _TYPES[kind])


def _fits(cell: Cell) -> bool:
    """Say whether a tensor stays within its bytes, and has the shape that its module wants."""
    steps = zip(cell.shape, cell.stride, strict=True)
    last = sum((side - 1) * step for side, step in steps) * cell.dtype.itemsize
    wanted = cell.owner._parameters.get(cell.leaf)
    return 0 <= last < max(cell.bytes, 1) and (wanted is None or tuple(wanted.shape) == cell.shape)


@dataclass(slots=True)
class SlabWriter:
    """Writes slabs one after another; the header goes in front at the end."""

    stream: BinaryIO
    _ends: dict[str, int] = field(default_factory=dict)
    _rows: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, slab: Slab) -> None:
        """Write a slab from the tensors of its module."""
        start = max(self._ends.values(), default=0)
        self.stream.seek(_LENGTH_BYTES + _HEADER_BYTES + start)
        for part in slab.parts():
            self.stream.write(memoryview(part.numpy()))  # type: ignore[arg-type]
        self._ends[slab.name] = start + slab.bytes
        self._rows[slab.name] = [_row(cell) for cell in slab.own]

    def finish(self, identity: Identity) -> None:
        """Write the header."""
        entries: dict[str, object] = {
            "__metadata__": {"key": identity.key, "layout": json.dumps(self._rows)}
        }
        start = 0
        for name, end in self._ends.items():
            entries[name] = {"dtype": "U8", "shape": [end - start], "data_offsets": [start, end]}
            start = end
        text = json.dumps(entries).encode().ljust(_HEADER_BYTES)
        if len(text) > _HEADER_BYTES:
            raise DiskError(f"The slabs of {identity.network} are too many for one file.")
        self.stream.seek(0)
        self.stream.write(_HEADER_BYTES.to_bytes(_LENGTH_BYTES, "little") + text)


def _row(cell: Cell) -> Row:
    kind = str(cell.dtype).removeprefix("torch.")
    return cell.path, cell.leaf, kind, list(cell.shape), list(cell.stride), cell.offset


@contextmanager
def write_slabs(folder: Path, identity: Identity, size: int) -> Iterator[SlabWriter]:
    """Open the file of an identity to be written with about `size` bytes; raise `DiskError`.

    It takes its name when the block ends well. Older files make room where the disk is full.
    """
    make_folder(folder)
    sweep_temporary(folder)
    _make_room(folder, identity, size)
    with atomic_stream(identity.path(folder)) as stream:
        writer = SlabWriter(stream)
        yield writer
        writer.finish(identity)


def _make_room(folder: Path, identity: Identity, size: int) -> None:
    """Remove what this file replaces, what is too many, and the oldest until there is room."""
    others = sorted(folder.glob(f"*{ENDING}"), key=_changed)
    old = {*identity.outdated(folder), *others[: max(0, len(others) - KEPT_FILES)]}
    for path in (*old, *(path for path in others if path not in old)):
        if path in old or shutil.disk_usage(folder).free < size + SPARE_BYTES:
            _log.info("removing %s from the cache", path.name)
            with suppress(OSError):
                path.unlink()
    free = shutil.disk_usage(folder).free
    if free < size + SPARE_BYTES:
        raise DiskError(
            f"Streaming from the disk needs {size:,} bytes in {folder}, where {free:,} are free.",
            "Free some space, or choose another data folder.",
        )


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
