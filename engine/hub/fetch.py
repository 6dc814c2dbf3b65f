"""Fetches one file: resumed where it broke off, and in its place only once its hash is right."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import DownloadCorrupt, NetworkError, NotFound
from engine.hub.hosts import Hosts
from engine.hub.part import Part, open_part
from engine.hub.reuse import sha256_of
from engine.hub.watch import Meter, Patience, Watch
from engine.hub.wire import REDIRECTS, Reply, Wire
from engine.variants import SourceFile

MAX_RESTARTS: Final = 2
"""How often a file may be begun anew because a server's answers do not fit together."""

LINKED_ETAG: Final = "x-linked-etag"
LINKED_SIZE: Final = "x-linked-size"
"""What the hub says of a file that its delivery network keeps: SHA-256 and bytes."""

_CLOSED: Final = frozenset({401, 403, 404, 410, 451})
_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_GIT_SHA1: Final = re.compile(r"[0-9a-f]{40}")
_RANGE: Final = re.compile(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15})")
_NUMBER: Final = re.compile(r"\d{1,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What every transfer of one download shares."""

    wire: Wire
    hosts: Hosts
    patience: Patience
    watch: Watch
    meter: Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file as it must arrive. sha256 or git_sha1: at least one is known."""

    source: SourceFile
    url: str
    size: int
    sha256: str | None
    git_sha1: str | None

    @property
    def identity(self) -> str:
        """What tells this version of the file from others."""
        return self.sha256 or self.git_sha1 or ""

    @property
    def name(self) -> str:
        """The file, for messages."""
        return f"{self.source.repo}/{self.source.path}"


@dataclass(frozen=True, slots=True)
class _Setback:
    """An attempt that ended early. restart: what came so far cannot be gone on with."""

    error: NetworkError
    wait: float = 0.0
    restart: bool = False


def address_of(source: SourceFile, hosts: Hosts) -> str:
    """Return where a file is asked for."""
    # The library asks for this before its first import; it would report to its makers else.
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from huggingface_hub import hf_hub_url

    return hf_hub_url(source.repo, source.path, endpoint=hosts.endpoint)


def look_up(source: SourceFile, line: Line) -> Wanted:
    """Ask what the server has under a name, and check it against what is known of the file.

    Raise `DownloadCorrupt` if it is another file, `NotFound`, `NetworkError` or `HostRefused`.
    """
    url = address_of(source, line.hosts)
    for attempt in range(line.patience.tries):
        found = _ask_about(source, url, line)
        if isinstance(found, Wanted):
            return found
        setback = found
        if attempt + 1 < line.patience.tries:
            line.watch.sleep(_pause(line.patience, attempt, setback))
    raise setback.error


def fetch(wanted: Wanted, final: Path, line: Line) -> str:
    """Bring a file to its place and return its SHA-256; nothing appears there before it is right.

    Raise `DownloadCorrupt` if the bytes were wrong twice, else `NetworkError`, `NotFound`,
    `HostRefused`, `DiskError`, or `Cancelled`; what came so far is kept for the next time.
    """
    with open_part(final, wanted.identity, line.watch) as part:
        if _is_there(final, wanted, line):
            # Another process brought it while this one waited for its turn.
            part.discard()
            return wanted.identity
        part.take_up(wanted.size, line.watch)
        line.meter.skip(part.position)
        for is_last in (False, True):
            _fill(part, wanted, line)
            if _is_right(part, wanted):
                part.finish(final)
                return part.sha256()
            _clear(part, line)
            if is_last:
                part.discard()
    raise DownloadCorrupt(
        f"{wanted.name} came twice with other bytes than its hash says.",
        "Try again later, or choose another endpoint.",
    )


def _is_there(final: Path, wanted: Wanted, line: Line) -> bool:
    if not final.is_file() or final.stat().st_size != wanted.size:
        return False
    return sha256_of(final, line.watch) == wanted.sha256


def _ask_about(source: SourceFile, url: str, line: Line) -> Wanted | _Setback:
    try:
        with line.wire.ask("HEAD", url, {}, follow=False) as reply:
            return _by_status(reply, source) or _wanted(source, url, reply)
    except DownloadCorrupt:
        raise
    except NetworkError as error:
        return _Setback(error)


def _wanted(source: SourceFile, url: str, reply: Reply) -> Wanted:
    tag = reply.headers.get(LINKED_ETAG) or reply.headers.get("etag", "")
    tag = tag.removeprefix("W/").strip('"').lower()
    said = reply.headers.get(LINKED_SIZE) or _length(reply)
    size = int(said) if said and _NUMBER.fullmatch(said) else None
    sha256 = tag if _SHA256.fullmatch(tag) else None
    name = f"{source.repo}/{source.path}"
    if source.sha256 is not None:
        if (size or source.size) != source.size or (sha256 or source.sha256) != source.sha256:
            raise DownloadCorrupt(
                f"The server has another file under the name {name} than this program knows.",
                "Look for a newer version of this program, or choose another endpoint.",
            )
        return Wanted(source=source, url=url, size=source.size, sha256=source.sha256, git_sha1=None)
    git_sha1 = tag if _GIT_SHA1.fullmatch(tag) else None
    if size is None or not (sha256 or git_sha1):
        raise DownloadCorrupt(
            f"The server does not say the size and hash of {name}, so it cannot be checked.",
            "Choose another endpoint.",
        )
    return Wanted(source=source, url=url, size=size, sha256=sha256, git_sha1=git_sha1)


def _length(reply: Reply) -> str | None:
    """Return the length of the file itself; that of a redirect's own text says nothing."""
    return None if reply.status in REDIRECTS else reply.headers.get("content-length")


def _is_right(part: Part, wanted: Wanted) -> bool:
    if wanted.sha256 is not None:
        return part.sha256() == wanted.sha256
    return part.git_sha1() == wanted.git_sha1


def _fill(part: Part, wanted: Wanted, line: Line) -> None:
    """Bring the bytes that are missing, trying again as long as some come."""
    failures = restarts = 0
    while part.position < wanted.size:
        before = part.position
        setback = _attempt(part, wanted, line)
        if setback is None:
            continue
        failures = 1 if part.position > before else failures + 1
        if setback.restart:
            restarts += 1
            _clear(part, line)
        if failures >= line.patience.tries or restarts > MAX_RESTARTS:
            raise setback.error
        line.watch.sleep(_pause(line.patience, failures - 1, setback))


def _attempt(part: Part, wanted: Wanted, line: Line) -> _Setback | None:
    """Ask for the missing bytes once."""
    headers = {"Range": f"bytes={part.position}-"} if part.position else {}
    try:
        with line.wire.ask("GET", wanted.url, headers, follow=True) as reply:
            return (
                _by_status(reply, wanted.source)
                or _by_range(reply, part, wanted, line)
                or _take(reply, part, wanted, line)
            )
    except NetworkError as error:
        return _Setback(error)


def _by_status(reply: Reply, source: SourceFile) -> _Setback | None:
    """Return what an answer without the file means; raise `NotFound` where asking again is vain."""
    server, name = reply.url.split("/")[2], f"{source.repo}/{source.path}"
    # The delivery network's addresses are signed for a while only; the hub gives new ones.
    if reply.status in _CLOSED and reply.is_hub:
        raise NotFound(
            f"{server} has no file {name} that is open to everyone (status {reply.status}).",
            "Look for a newer version of this program, or choose another endpoint.",
        )
    if reply.status in {200, 206} or reply.status in REDIRECTS:
        return None
    error = NetworkError(f"{server} answered with status {reply.status}.", "Try again later.")
    waits = reply.headers.get("retry-after", "")
    wait = float(waits) if reply.status in _BUSY and _NUMBER.fullmatch(waits) else 0.0
    return _Setback(error, wait=wait, restart=reply.status == 416)


def _by_range(reply: Reply, part: Part, wanted: Wanted, line: Line) -> _Setback | None:
    """Make sure that the bytes that follow belong where they will be written."""
    server = reply.url.split("/")[2]
    encoding = reply.headers.get("content-encoding", "identity")
    length = reply.headers.get("content-length", "")
    if reply.status == 200 and part.position:
        # The server does not do parts: it sends all from the start.
        _clear(part, line)
    if reply.status == 206:
        match = _RANGE.fullmatch(reply.headers.get("content-range", ""))
        if match is None or (int(match[1]), int(match[2])) != (part.position, wanted.size):
            return _Setback(NetworkError(f"{server} sent another part of {wanted.name}."), 0, True)
    missing = wanted.size - part.position
    if encoding != "identity" or (_NUMBER.fullmatch(length) and int(length) != missing):
        said = f"{server} offers {length} bytes of {wanted.name}, where {missing} are missing."
        return _Setback(NetworkError(said, "Try again later."), 0, True)
    return None


def _take(reply: Reply, part: Part, wanted: Wanted, line: Line) -> _Setback | None:
    """Write the bytes as they come."""
    for chunk in reply.chunks:
        line.watch.check()
        if part.position + len(chunk) > wanted.size:
            return _Setback(NetworkError(f"{wanted.name} is longer than it should be."), 0, True)
        part.append(chunk)
        line.meter.count(len(chunk))
    if part.position < wanted.size:
        server = reply.url.split("/")[2]
        return _Setback(NetworkError(f"{server} ended in the middle of {wanted.name}."))
    return None


def _clear(part: Part, line: Line) -> None:
    line.meter.skip(-part.position)
    part.clear()


def _pause(patience: Patience, failures: int, setback: _Setback) -> float:
    """Return how long to wait: longer each time, and as long as the server asks, within reason."""
    doubled = patience.pause * float(2**failures)
    return min(max(doubled, setback.wait), patience.longest_pause)
