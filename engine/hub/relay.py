"""Brings what opens a way to this computer from outside: a program, and the server it calls.

The program runs here with the user's rights, so it is started only where every byte of it is the
one whose SHA-256 was known beforehand; and that is asked anew each time.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from engine import strict_json
from engine.errors import DownloadCorrupt, NetworkError
from engine.hub.hosts import choose_hosts
from engine.hub.reuse import sha256_of
from engine.hub.watch import Patience, Watch
from engine.storage import atomic_write, disk_error, make_folder

if TYPE_CHECKING:
    from engine.hub.wire import Wire

MAX_PROGRAM_BYTES: Final = 64 * 1024 * 1024
MAX_ANSWER_BYTES: Final = 64 * 1024
CERTIFICATE: Final = "certificate.pem"

_OK: Final = 200
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?", re.IGNORECASE)
_PEM: Final = re.compile(
    r"(-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySource:
    """Where a relay comes from.

    program_url, sha256: the program and the hash of its bytes, in hex. name: its file name here.
    question: address that names a server, as [{"host", "port", "root_ca"}] in JSON.
    """

    program_url: str
    sha256: str
    name: str
    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A program to run, the server (host:port) it calls, and the certificate to know that by.

    Without a certificate the line to the server is not encrypted.
    """

    program: Path
    server: str
    certificate: Path | None = None


def prepare_relay(
    source: RelaySource, folder: Path, cancelled: Callable[[], bool] = lambda: False
) -> Relay:
    """Fetch what is not in the folder yet, and ask for a server.

    cancelled: asked several times a second. Raise `NetworkError`, `HostRefused`, `DiskError`,
    `DownloadCorrupt` for bytes that are not those expected, or `Cancelled`.
    """
    # Nothing of it is there yet when the installer imports the engine.
    from engine.hub.wire import Wire

    parts = urlsplit(source.question)
    hosts = choose_hosts(f"{parts.scheme}://{parts.netloc}")
    make_folder(folder)
    watch = Watch(cancelled)
    with Wire(hosts, Patience(), watch) as wire:
        program = folder / source.name
        if not program.is_file() or sha256_of(program, watch) != source.sha256:
            _bring(wire, source, program)
        server, certificate = _ask(wire, source.question)
    atomic_write(folder / CERTIFICATE, certificate)
    return Relay(program=program, server=server, certificate=folder / CERTIFICATE)


def _bring(wire: Wire, source: RelaySource, program: Path) -> None:
    data = _get(wire, source.program_url, MAX_PROGRAM_BYTES)
    if hashlib.sha256(data).hexdigest() != source.sha256:
        raise DownloadCorrupt(
            f"What came from {source.program_url} is not the program that was expected.",
            "Nothing of it was kept. Try again; if it stays so, do not share.",
        )
    atomic_write(program, data)
    try:
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    except OSError as error:
        raise disk_error(program, error) from error


def _ask(wire: Wire, question: str) -> tuple[str, bytes]:
    """Return host:port of a server, and the certificate it will show."""
    data = _get(wire, question, MAX_ANSWER_BYTES)
    answer = strict_json.parse(data, f"The answer of {question}", max_bytes=MAX_ANSWER_BYTES)
    match answer:
        case [{"host": str(host), "port": int(port), "root_ca": str(certificate)}, *_]:
            known = _HOST.fullmatch(host) and 0 < port < 65536 and _PEM.fullmatch(certificate)
            if known:
                return f"{host}:{port}", certificate.encode()
    raise NetworkError(f"{question} named no server.", "Try again later.")


def _get(wire: Wire, url: str, limit: int) -> bytes:
    """Return the body of an answer of at most `limit` bytes."""
    with wire.ask("GET", url, {}, follow=True) as reply:
        if reply.status != _OK:
            raise NetworkError(f"{url} answered with {reply.status}.", "Try again later.")
        body = bytearray()
        for chunk in reply.chunks:
            body += chunk
            if len(body) > limit:
                raise NetworkError(f"{url} sent more than {limit:,} bytes.", "Try again later.")
    return bytes(body)
