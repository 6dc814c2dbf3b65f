"""What every test gets: no network beyond this machine, fixed seeds, a data folder of its own."""

from __future__ import annotations

import gc
import ipaddress
import random
import signal
import socket
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from engine.setup.browser import ABSENT, find_browser

LOCAL_NAMES = ("localhost", "", None)


def pytest_configure() -> None:
    """Hear Ctrl-C, as the programs that tests start then do: a job in the background ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run; put the browser tests last.

    Playwright keeps an event loop running in this thread, so that no later test could start one.
    """
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
    browser_tests = [item for item in items if item.get_closest_marker("browser")]
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if browser_tests and find_browser() is None:
        for item in browser_tests:
            item.add_marker(pytest.mark.skip(reason=ABSENT))
    if gpu_tests and not _has_gpu():
        for item in gpu_tests:
            item.add_marker(pytest.mark.skip(reason="this machine has no CUDA device"))


def pytest_collection_finish() -> None:
    """Keep what the tests imported out of garbage collections, which a change of model asks for."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write what a test said so that it can travel between processes, which send proper Unicode."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode())
        for title, text in report.sections
    ]
    return report


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def _stay_on_this_machine(request, monkeypatch):
    """Refuse connections beyond the loopback, by address and by name, unless marked `network`."""
    if request.node.get_closest_marker("network"):
        return
    connect, connect_ex, resolve = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )

    def guarded(method):
        def call(self, address):
            if self.family in {socket.AF_INET, socket.AF_INET6}:
                _refuse_unless_local(address[0])
            return method(self, address)

        return call

    def guarded_resolve(host, *arguments, **options):
        _refuse_unless_local(host)
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded(connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)
    # Child processes are beyond the guard above; these keep the libraries in them from asking.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")


def _refuse_unless_local(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name in LOCAL_NAMES:
        return
    try:
        local = ipaddress.ip_address(name).is_loopback or name in {"0.0.0.0", "::"}
    except ValueError:
        local = name == socket.gethostname()
    if not local:
        message = f"a test reached for {name}; only tests marked network may leave this machine"
        raise RuntimeError(message)


@pytest.fixture(autouse=True)
def _fixed_seeds():
    random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """An empty data folder, gone with the test."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser program; tests that use it carry the marker `browser`."""
    program = find_browser()
    if program is None:
        pytest.skip(ABSENT)
    return program
