"""A page over the fake engine, served once for all tests that need one."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
import pytest

from tests.ui.building import built, handlers_of
from tests.ui.fake_engine import FakeEngine
from ui.context import PageContext
from ui.launch import LaunchOptions, OpenPage, open_page
from ui.tabs.form_handlers import FormHandlers
from ui.tunnel import Tunnel


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def _kept_environment() -> Iterator[None]:
    """Put back what serving a page sets in the environment."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _same_environment() -> Iterator[None]:
    """Undo what a test sets: Gradio looks its cache folder up anew for every file."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@contextmanager
def another_page(
    engine: FakeEngine, options: LaunchOptions, make_tunnel: Callable[[], Tunnel] | None = None
) -> Iterator[OpenPage]:
    """Open a second page in this process; the environment stays that of the first."""
    before = dict(os.environ)
    with open_page(engine, options, make_tunnel) as page:
        os.environ.clear()
        os.environ.update(before)
        yield page


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeEngine]:
    """The engine behind the served page."""
    with FakeEngine(tmp_path_factory.mktemp("studio")) as engine:
        yield engine


@pytest.fixture(scope="session")
def served(studio: FakeEngine, _kept_environment: None) -> Iterator[OpenPage]:
    """A page for the owner of this computer."""
    with open_page(studio, LaunchOptions(port=free_port(), browser=False)) as page:
        yield page


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    """An engine of the test's own."""
    with FakeEngine(tmp_path, step_seconds=0.0) as own:
        yield own


@pytest.fixture
def page(engine) -> PageContext:
    return PageContext(engine=engine)


@pytest.fixture
def demo(page) -> gr.Blocks:
    return built(page)


@pytest.fixture
def form(demo) -> FormHandlers:
    return handlers_of(demo, FormHandlers)
