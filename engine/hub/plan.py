"""Says what a download will do before it does anything: files, bytes, places, space."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from engine.errors import BadRequest, DiskError, FileRejected, NotFound
from engine.hub.hosts import choose_hosts
from engine.hub.part import PART_SUFFIX, part_path
from engine.hub.record import HASHES_NAME, RecordedFile, folder_for, read_record, size_of
from engine.hub.reuse import SMALLEST, Hashes, Sum, Way, default_homes, find, way_to
from engine.hub.watch import Watch
from engine.request import Precision
from engine.variants import Download, SourceFile, Variant

SPARE_BYTES: Final = 200_000_000
"""Kept free on the disk: what else is written meanwhile must find room."""

MAX_FOLDERS: Final = 1000
GB: Final = 1e9


class Step(StrEnum):
    """What happens to a file: it is here already, linked, copied or fetched."""

    HERE = "here"
    LINK = "link"
    COPY = "copy"
    FETCH = "fetch"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """A file of a model and how it will come.

    path: where it will lie. original: the file that is linked or copied. sha256: of its bytes,
    None if only the server knows it. came: bytes of it that an earlier run fetched.
    """

    source: SourceFile
    path: Path
    step: Step
    original: Path | None = None
    sha256: str | None = None
    came: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadPlan:
    """What a download will do. folder: of the model. free: bytes free on its disk."""

    variant: str
    title: str
    licence: str
    precision: Precision
    folder: Path
    endpoint: str
    files: tuple[PlannedFile, ...]
    free: int

    def of(self, step: Step) -> tuple[PlannedFile, ...]:
        """Return the files that come in one way."""
        return tuple(file for file in self.files if file.step is step)

    @property
    def fetch_bytes(self) -> int:
        """Bytes that will come over the network."""
        return sum(max(0, file.source.size - file.came) for file in self.of(Step.FETCH))

    @property
    def reused_bytes(self) -> int:
        """Bytes that are on this machine already and need not be fetched."""
        return self.total_bytes - sum(file.source.size for file in self.of(Step.FETCH))

    @property
    def needed_bytes(self) -> int:
        """Bytes that the disk must have free now; what has come since the plan needs no more."""
        hashes, recorded = Hashes(self.folder.parent / HASHES_NAME), _recorded(self.folder)
        comes = (*self.of(Step.COPY), *self.of(Step.FETCH))
        needed = sum(_missing(file, recorded.get(file.source.to), hashes) for file in comes)
        return needed + SPARE_BYTES if needed else 0

    @property
    def total_bytes(self) -> int:
        """Bytes of the whole model."""
        return sum(file.source.size for file in self.files)

    def check_space(self) -> None:
        """Raise `DiskError` if the disk has not enough room now."""
        free = _free(self.folder)
        if free < self.needed_bytes:
            raise DiskError(
                f"{self.title} needs {self.needed_bytes / GB:.1f} GB on the disk of {self.folder}, "
                f"but {free / GB:.1f} GB are free.",
                "Free some space, or choose another folder.",
            )

    def in_words(self) -> tuple[str, ...]:
        """Return the plan as lines for the user."""
        here = sum(file.source.size for file in self.of(Step.HERE))
        lines = [
            f"{self.title} in {self.precision}, licence {self.licence}, "
            f"{self.total_bytes / GB:.2f} GB in {len(self.files)} files",
            f"to    {self.folder} ({self.free / GB:.1f} GB free)",
            f"fetch {self.fetch_bytes / GB:.2f} GB from {self.endpoint}",
        ]
        lines += [
            f"{file.step:<5} {file.original} ({file.source.size / GB:.2f} GB)"
            for file in self.files
            if file.original is not None
        ]
        return (*lines, f"here  {here / GB:.2f} GB") if here else tuple(lines)


def plan_download(
    variant: Variant,
    precision: Precision,
    models: Path,
    homes: Sequence[Path] | None = None,
    *,
    endpoint: str | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> DownloadPlan:
    """Plan the download of a model; nothing is fetched and nothing is written but hashes.

    precision: AUTO is the variant's first. models: folder of all downloaded models; the model gets
    one of its own in it. homes: folders to look for files in, before the usual ones; a model
    folder of this program from elsewhere is understood with all its hashes.
    Raise `NotFound` for weights nobody can fetch, `BadRequest`, `HostRefused` or `Cancelled`.
    """
    download = choose(variant, precision)
    hosts = choose_hosts(endpoint)
    folder = folder_for(variant, download.precision, models)
    hashes, watch = Hashes(models / HASHES_NAME), Watch(cancelled)
    recorded = _recorded(folder)
    here = {f for f in download.files if _is_here(f, folder, recorded.get(f.to), hashes, watch)}
    missing = [file for file in download.files if file not in here]
    sums = _sums(missing, homes or ())
    found = find(sums, homes or (), hashes, watch)
    # Looking for small files in places that nobody named takes longer than fetching them.
    large = {f: s for f, s in sums.items() if f not in found and s[0] >= SMALLEST}
    found |= find(large, (models, *default_homes()), hashes, watch)
    return DownloadPlan(
        variant=variant.name,
        title=variant.title,
        licence=variant.licence,
        precision=download.precision,
        folder=folder,
        endpoint=hosts.endpoint,
        files=tuple(
            PlannedFile(source=file, path=folder / file.to, step=Step.HERE)
            if file in here
            else _planned(file, folder, found.get(file), sums.get(file))
            for file in download.files
        ),
        free=_free(folder),
    )


def choose(variant: Variant, precision: Precision) -> Download:
    """Return the files of a variant in a precision; raise `NotFound` or `BadRequest`."""
    if variant.unavailable is not None:
        raise NotFound(variant.unavailable)
    if not variant.downloads:
        raise BadRequest(f"{variant.title} comes with the program: there is nothing to fetch.")
    for download in variant.downloads:
        if precision in {download.precision, Precision.AUTO}:
            return download
    offered = " or ".join(download.precision for download in variant.downloads)
    raise BadRequest(
        f"{variant.title} cannot be fetched in {precision}.",
        f"Fetch it in {offered}; any precision is made from it when it is loaded.",
    )


def _planned(
    source: SourceFile, folder: Path, original: Path | None, known: Sum | None
) -> PlannedFile:
    path = folder / source.to
    sha256 = known[1] if known else None
    if original is not None:
        step = Step.LINK if way_to(original, folder) is Way.LINK else Step.COPY
        return PlannedFile(source=source, path=path, step=step, original=original, sha256=sha256)
    came = _came(source, path, sha256)
    return PlannedFile(source=source, path=path, step=Step.FETCH, sha256=sha256, came=came)


def _came(source: SourceFile, path: Path, sha256: str | None) -> int:
    """Return how many bytes of a file were fetched, of any version if only the server knows it."""
    parts = [part_path(path, sha256)] if sha256 else path.parent.glob(f"{path.name}.*{PART_SUFFIX}")
    return min(max((size_of(part) or 0 for part in parts), default=0), source.size)


def _missing(file: PlannedFile, recorded: RecordedFile | None, hashes: Hashes) -> int:
    """Return how many bytes of a file are not on the disk now."""
    sha256 = file.sha256 or (recorded.sha256 if recorded else None)
    if sha256 is not None and hashes.known(file.path) == sha256:
        return 0
    came = _came(file.source, file.path, file.sha256) if file.step is Step.FETCH else 0
    return file.source.size - came


def _sums(files: Sequence[SourceFile], homes: Sequence[Path]) -> dict[SourceFile, Sum]:
    """Return size and hash of the files where they are known, from us or from earlier downloads."""
    recorded: dict[str, Sum] = {}
    for home in homes:
        for folder in (home, *_folders_in(home)):
            found = _recorded(folder).values()
            recorded |= {file.source: (file.size, file.sha256) for file in found}
    sums = {file: recorded.get(f"{file.repo}/{file.path}") for file in files}
    ours = {file: (file.size, file.sha256) for file in files if file.sha256 is not None}
    return {file: known for file, known in sums.items() if known is not None} | ours


def _folders_in(home: Path) -> list[Path]:
    try:
        return [path for path in home.iterdir() if path.is_dir()][:MAX_FOLDERS]
    except OSError:
        return []


def _is_here(
    source: SourceFile, folder: Path, recorded: RecordedFile | None, hashes: Hashes, watch: Watch
) -> bool:
    """Whether a file lies in its place with the right bytes."""
    path = folder / source.to
    sha256 = source.sha256 or (recorded.sha256 if recorded else None)
    if sha256 is None or not path.is_file():
        return False
    if source.sha256 is not None and path.stat().st_size != source.size:
        return False
    return hashes.sha256(path, watch) == sha256


def _recorded(folder: Path) -> dict[str, RecordedFile]:
    try:
        return {file.to: file for file in read_record(folder).files}
    except (NotFound, FileRejected):
        return {}


def _free(folder: Path) -> int:
    """Return the bytes free on the disk of a folder that may not be there yet."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free
