"""Finds files that are on this machine already, by size and then by hash, and links them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

from engine import strict_json
from engine.errors import DiskError, FileRejected, NotFound
from engine.hub.watch import Watch
from engine.storage import (
    atomic_stream,
    atomic_write,
    exclusive,
    make_folder,
    open_plain,
    project_root,
    read_bounded,
    sweep_temporary,
    temporary_beside,
)
from engine.variants import SourceFile

SMALLEST: Final = 1_000_000
"""Smaller files are fetched: looking for them takes longer than that."""

READ_BYTES: Final = 1 << 20
MAX_ENTRIES: Final = 200_000
MAX_DEPTH: Final = 8
MAX_CACHE_BYTES: Final = 4_000_000
MAX_CACHED: Final = 10_000

_APPLICATIONS: Final = (
    "ComfyUI/models",
    "ComfyUI_windows_portable/ComfyUI/models",
    "stable-diffusion-webui/models",
    "stable-diffusion-webui-forge/models",
    "sd-webui-forge-neo/models",
)


Sum = tuple[int, str]
"""Bytes and SHA-256 of a file."""


class Way(StrEnum):
    """How a file on this machine comes into a model folder."""

    LINK = "link"
    COPY = "copy"


class Hashes:
    """Remembers the SHA-256 of files by place, size and time of change; safe between processes."""

    def __init__(self, path: Path) -> None:
        """Take the file to remember in; nothing is read before it is needed."""
        self._path = path

    def known(self, file: Path) -> str | None:
        """Return the sum of a file if it has not changed since it was read."""
        try:
            entry = self._read().get(str(file))
            size, changed = _stamp(file)
        except OSError:
            return None
        match entry:
            case [int(s), int(c), str(sha256)] if (s, c) == (size, changed):
                return sha256
        return None

    def sha256(self, file: Path, watch: Watch) -> str:
        """Return the sum of a file, reading it only if it changed; raise `FileRejected`."""
        return self.known(file) or self.read(file, watch)

    def read(self, file: Path, watch: Watch) -> str:
        """Return the sum of a file, reading it in any case; raise `FileRejected`."""
        found = sha256_of(file, watch)
        self.remember(file, found)
        return found

    def remember(self, file: Path, sha256: str) -> None:
        """Take down the sum of a file that was just read or written."""
        # Without its memory the program hashes again; that is slow, not wrong.
        with suppress(OSError, DiskError), exclusive(self._path):
            entries = {**self._read(), str(file): [*_stamp(file), sha256]}
            kept = dict(list(entries.items())[-MAX_CACHED:])
            atomic_write(self._path, json.dumps(kept).encode())

    def _read(self) -> dict[str, object]:
        try:
            data = read_bounded(self._path, MAX_CACHE_BYTES)
            found = strict_json.parse(data, "The list of hashes", max_bytes=MAX_CACHE_BYTES)
        except (NotFound, FileRejected):
            return {}
        return found if isinstance(found, dict) else {}


def sha256_of(file: Path, watch: Watch) -> str:
    """Return the SHA-256 of a file in hex; raise `FileRejected`, `NotFound` or `Cancelled`."""
    digest = hashlib.sha256()
    try:
        with open_plain(file) as stream:
            while data := stream.read(READ_BYTES):
                watch.check()
                digest.update(data)
    except OSError as error:
        raise FileRejected(f"{file} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def default_homes(environment: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Return the folders of this machine where other programs usually keep such files."""
    try:
        home = Path.home()
    except RuntimeError:
        home = project_root().parent
    cache = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    hub = Path(environment.get("HF_HOME") or cache / "huggingface") / "hub"
    places = [Path(environment.get("HF_HUB_CACHE") or hub)]
    parents = dict.fromkeys((project_root().parent, home, home / "Documents"))
    places += [parent / name for parent in parents for name in _APPLICATIONS]
    return tuple(place for place in dict.fromkeys(places) if _is_folder(place))


def find(
    wanted: Mapping[SourceFile, Sum], homes: Iterable[Path], hashes: Hashes, watch: Watch
) -> dict[SourceFile, Path]:
    """Return, for each file that is wanted, a file below `homes` with the same bytes."""
    by_size: dict[int, dict[str, SourceFile]] = {}
    for file, (size, sha256) in wanted.items():
        by_size.setdefault(size, {})[sha256] = file
    found: dict[SourceFile, Path] = {}
    for path, size in _plain_files(homes, watch) if wanted else ():
        if size not in by_size:
            continue
        # A file that vanishes or is closed to us is not there.
        with suppress(FileRejected, NotFound):
            real = path.resolve()
            source = by_size[size].get(hashes.sha256(real, watch))
            if source is not None:
                found.setdefault(source, real)
    return found


def way_to(source: Path, folder: Path) -> Way:
    """Return whether a file can be linked into a folder or would have to be copied."""
    if os.name != "nt":
        return Way.LINK
    while not folder.exists():
        folder = folder.parent
    return Way.LINK if source.stat().st_dev == folder.stat().st_dev else Way.COPY


def bring(source: Path, final: Path, sha256: str, watch: Watch) -> Way:
    """Put a file into its place as a second name of the same bytes, else as a copy.

    What lay in the place is replaced. sha256: of the bytes, checked in a copy as it is made. Raise
    `DiskError`, `NotFound`, `FileRejected` for other bytes, or `Cancelled`.
    """
    source = source.resolve()
    make_folder(final.parent)
    sweep_temporary(final.parent)
    if _link(source, final):
        return Way.LINK
    digest = hashlib.sha256()
    with open_plain(source) as stream, atomic_stream(final) as copy:
        while data := stream.read(READ_BYTES):
            watch.check()
            digest.update(data)
            copy.write(data)
        if digest.hexdigest() != sha256:
            raise changed(source)
    return Way.COPY


def changed(file: Path) -> FileRejected:
    """Return what to say of a file that is not what it was when it was planned."""
    return FileRejected(f"{file} has changed meanwhile.", "Start the download again.")


def _link(source: Path, final: Path) -> bool:
    temporary = temporary_beside(final)
    try:
        for link in (temporary.hardlink_to, temporary.symlink_to):
            # Another disk, or a file system without such links.
            with suppress(OSError):
                link(source)
                temporary.replace(final)
                return True
    finally:
        # It stays where the place had the same bytes already: both names are one file.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return False


def _plain_files(homes: Iterable[Path], watch: Watch) -> Iterator[tuple[Path, int]]:
    """Yield the files below some folders with their sizes, as many as can be looked at soon."""
    seen = 0
    for folder, names in _folders(homes):
        watch.check()
        seen += len(names) + 1
        if seen > MAX_ENTRIES:
            return
        for name in names:
            path = folder / name
            # A link that leads nowhere, or a file that is just being removed.
            with suppress(OSError):
                yield path, path.stat().st_size


def _folders(homes: Iterable[Path]) -> Iterator[tuple[Path, list[str]]]:
    for home in homes:
        for folder, folders, names in os.walk(home):
            if len(Path(folder).parts) - len(home.parts) >= MAX_DEPTH:
                folders.clear()
            yield Path(folder), names


def _stamp(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
