"""What was downloaded where: a small file in each model folder names its files and their hashes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from engine import strict_json
from engine.errors import FileRejected, NotFound
from engine.hub.reuse import Hashes
from engine.hub.watch import Watch
from engine.request import Precision
from engine.storage import atomic_write, read_bounded
from engine.variants import VARIANTS, Variant

FILE_NAME: Final = "download.json"
HASHES_NAME: Final = "hashes.json"
MAX_BYTES: Final = 256 * 1024
MAX_FILES: Final = 200
VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFile:
    """A file of a model folder. to: its place in it. source: repository and path."""

    to: str
    source: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a model folder holds. complete: nothing is missing any more."""

    variant: str
    precision: Precision
    complete: bool
    files: tuple[RecordedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A model that was downloaded. size: bytes of its files."""

    variant: str
    precision: Precision
    folder: Path
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A file of a model folder that is not as it was, and what is wrong with it."""

    file: str
    problem: str


def folder_for(variant: Variant, precision: Precision, models: Path) -> Path:
    """Return the folder of a downloaded model. models: the folder of all of them."""
    return models / f"{variant.name}-{precision}"


def installed(models: Path) -> tuple[Installed, ...]:
    """Return the models that were downloaded completely, in the order of the variants."""
    places = [
        folder_for(variant, download.precision, models)
        for variant in VARIANTS
        for download in variant.downloads
    ]
    return tuple(found for place in places if (found := _look(place)) is not None)


def installed_folder(variant: Variant, models: Path, precision: Precision) -> Path | None:
    """Return the folder of a downloaded model, of the precision if it is there, else of another."""
    found = [model for model in installed(models) if model.variant == variant.name]
    found.sort(key=lambda model: model.precision != precision)
    return found[0].folder if found else None


def verify(
    folder: Path,
    *,
    again: bool = True,
    on_file: Callable[[str], None] = lambda name: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[Fault, ...]:
    """Compare the files of a downloaded model with their hashes and return what is wrong.

    again: read every file; False reads only what changed since it was last read. on_file: told
    each file before it is read. Raise `NotFound` for a folder that was not downloaded.
    """
    record = read_record(folder)
    hashes = Hashes(folder.parent / HASHES_NAME)
    watch = Watch(cancelled)
    faults = []
    for file in record.files:
        on_file(file.to)
        problem = _problem(file, folder / file.to, hashes, watch, again=again)
        if problem:
            faults.append(Fault(file=file.to, problem=problem))
    return tuple(faults)


def read_record(folder: Path) -> Record:
    """Return what a model folder holds; raise `NotFound` or `FileRejected`."""
    try:
        data = read_bounded(folder / FILE_NAME, MAX_BYTES)
    except NotFound as error:
        raise NotFound(
            f"The folder {folder} was not filled by a download.", "Check the name."
        ) from error
    found = strict_json.parse(data, f"The file {folder / FILE_NAME}", max_bytes=MAX_BYTES)
    record = _from_json(found)
    if record is None:
        raise FileRejected(
            f"The file {folder / FILE_NAME} is not as this program writes it.",
            "Download the model again.",
        )
    return record


def write_record(folder: Path, record: Record) -> None:
    """Take down what a model folder holds; raise `DiskError`."""
    data = json.dumps({"version": VERSION, **asdict(record)}, indent=2)
    atomic_write(folder / FILE_NAME, data.encode())


def size_of(path: Path) -> int | None:
    """Return the bytes of a file, None where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _look(folder: Path) -> Installed | None:
    try:
        record = read_record(folder)
    except (NotFound, FileRejected):
        return None
    if not record.complete or not all(size_of(folder / f.to) == f.size for f in record.files):
        return None
    return Installed(
        variant=record.variant,
        precision=record.precision,
        folder=folder,
        size=sum(file.size for file in record.files),
    )


def _problem(
    file: RecordedFile, path: Path, hashes: Hashes, watch: Watch, *, again: bool
) -> str | None:
    size = size_of(path)
    if size is None:
        return "is missing"
    if size != file.size:
        return f"has {size:,} bytes instead of {file.size:,}"
    try:
        sha256 = hashes.read(path, watch) if again else hashes.sha256(path, watch)
    except (NotFound, FileRejected) as error:
        return f"cannot be read ({error.message})"
    return None if sha256 == file.sha256 else "has other bytes than were downloaded"


def _from_json(found: object) -> Record | None:
    match found:
        case {
            "version": int(),
            "variant": str(variant),
            "precision": str(precision),
            "complete": bool(complete),
            "files": list(entries),
        } if precision in set(Precision) and len(entries) <= MAX_FILES:
            files = [_file_from_json(entry) for entry in entries]
        case _:
            return None
    known = tuple(file for file in files if file is not None)
    if len(known) != len(files):
        return None
    return Record(variant=variant, precision=Precision(precision), complete=complete, files=known)


def _file_from_json(entry: object) -> RecordedFile | None:
    match entry:
        case {"to": str(to), "source": str(source), "size": int(size), "sha256": str(sha256)}:
            # A record from elsewhere must not make us read files outside the folder.
            parts = to.split("/")
            plain = all(part not in {"", ".", ".."} for part in parts) and os.sep not in "".join(
                parts
            )
            if plain and ":" not in to and "\\" not in to:
                return RecordedFile(to=to, source=source, size=size, sha256=sha256)
    return None
