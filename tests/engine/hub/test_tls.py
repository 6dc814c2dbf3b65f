"""Encrypted lines: only a server whose certificate is trusted is spoken to."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import Cancelled, NetworkError
from engine.hub.watch import Patience
from tests.engine.hub.server import Hub, get, noise, source

OPENSSL = shutil.which("openssl")
DATA = noise(2_000_000)

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="needs openssl to make a certificate")


class SecureHub(Hub):
    @property
    def endpoint(self) -> str:
        return f"https://localhost:{self.server_address[1]}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *(OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem"


@pytest.fixture
def secure(certificate: Path) -> Iterator[SecureHub]:
    server = SecureHub()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.files["a.bin"] = DATA
    yield server
    server.close()


def test_a_file_comes_over_an_encrypted_line(secure, certificate, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert get(secure, source("a.bin", DATA), tmp_path).read_bytes() == DATA


def test_a_server_that_nobody_vouches_for_is_refused(secure, tmp_path):
    with pytest.raises(NetworkError, match=r"(?i)certificate"):
        get(secure, source("a.bin", DATA), tmp_path)
    assert secure.asked == []


def test_an_encrypted_download_stops_within_a_second(secure, certificate, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    secure.slow = 0.4
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    begin = time.monotonic()
    with pytest.raises(Cancelled):
        get(
            *(secure, source("a.bin", DATA), tmp_path),
            patience=Patience(stall=30.0),
            cancelled=stop.is_set,
        )
    assert time.monotonic() - begin < 1.5
