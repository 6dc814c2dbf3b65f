"""A hub on the loopback, and a machine on which no other program keeps models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.hub.server import Hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _no_other_models(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
