"""The page's downloads: one at a time, paused, gone on with and cancelled at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from engine.errors import BadRequest, Cancelled
from engine.hub import DownloadProgress, Downloads, DownloadStatus, verify
from tests.engine.hub.server import QUICK, Fault, Hub, model, planned


@pytest.fixture
def downloads() -> Iterator[Downloads]:
    made = Downloads(QUICK)
    yield made
    made.close()


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def becomes(downloads: Downloads, status: DownloadStatus) -> None:
    until(lambda: downloads.state().status is status)


def slowly(hub: Hub) -> None:
    """About two seconds for the whole model."""
    hub.slow = 0.05


def test_it_starts_idle_and_asks_nobody(hub, downloads):
    assert downloads.state().status is DownloadStatus.IDLE
    assert downloads.state().plan is None
    assert hub.asked == []


def test_a_download_runs_in_the_background_to_its_end(hub, downloads, tmp_path):
    slowly(hub)
    plan = planned(hub, model(hub), tmp_path)
    downloads.start(plan)
    assert downloads.state().status is DownloadStatus.RUNNING
    until(lambda: (p := downloads.state().progress) is not None and 0 < p.done < p.total)
    becomes(downloads, DownloadStatus.DONE)
    assert downloads.state().progress.done == plan.total_bytes
    assert verify(plan.folder) == ()


def test_a_second_download_is_refused_while_one_runs(hub, downloads, tmp_path):
    slowly(hub)
    plan = planned(hub, model(hub), tmp_path)
    downloads.start(plan)
    with pytest.raises(BadRequest, match="Z-Image-Turbo is being downloaded"):
        downloads.start(plan)
    downloads.pause()
    with pytest.raises(BadRequest, match="cancel it"):
        downloads.start(plan)


def test_a_paused_download_goes_on_where_it_was(hub, downloads, tmp_path):
    slowly(hub)
    plan = planned(hub, model(hub), tmp_path)
    downloads.start(plan)
    until(lambda: hub.sent > 200_000)
    downloads.pause()
    assert downloads.state().status is DownloadStatus.PAUSED
    asked = len(hub.asked)
    time.sleep(0.3)
    assert len(hub.asked) == asked
    downloads.resume()
    becomes(downloads, DownloadStatus.DONE)
    assert verify(plan.folder) == ()
    assert any(ranges.startswith("bytes=") for ranges in hub.gets())


def test_a_cancelled_download_leaves_no_half_file(hub, downloads, tmp_path):
    slowly(hub)
    plan = planned(hub, model(hub), tmp_path)
    downloads.start(plan)
    until(lambda: hub.sent > 200_000)
    begin = time.monotonic()
    downloads.cancel()
    assert time.monotonic() - begin < 1.0
    assert downloads.state().status is DownloadStatus.CANCELLED
    assert [p for p in plan.folder.rglob("*.part")] == []
    downloads.resume()
    assert downloads.state().status is DownloadStatus.CANCELLED
    downloads.start(plan)
    becomes(downloads, DownloadStatus.DONE)


def test_a_paused_download_can_be_cancelled(hub, downloads, tmp_path):
    slowly(hub)
    plan = planned(hub, model(hub), tmp_path)
    downloads.start(plan)
    until(lambda: hub.sent > 100_000)
    downloads.pause()
    downloads.cancel()
    assert downloads.state().status is DownloadStatus.CANCELLED
    assert [p for p in plan.folder.rglob("*.part")] == []


def test_a_failed_download_says_why_and_can_be_tried_again(hub, downloads, tmp_path):
    hub.always = Fault(status=503)
    downloads.start(planned(hub, model(hub), tmp_path))
    becomes(downloads, DownloadStatus.FAILED)
    error = downloads.state().error
    assert error.code == "network"
    assert "status 503" in error.message
    hub.always = None
    downloads.resume()
    becomes(downloads, DownloadStatus.DONE)
    assert downloads.state().error is None


def test_a_failed_download_can_be_cancelled(hub, downloads, tmp_path):
    hub.faults.append(Fault(after=700_000))
    hub.always = Fault(status=503)
    plan = planned(hub, model(hub), tmp_path)
    downloads.start(plan)
    becomes(downloads, DownloadStatus.FAILED)
    assert [p for p in plan.folder.rglob("*.part")] != []
    downloads.cancel()
    assert downloads.state().status is DownloadStatus.CANCELLED
    assert downloads.state().error is None
    assert [p for p in plan.folder.rglob("*.part")] == []


def test_what_does_not_fit_now_does_nothing(downloads):
    downloads.pause()
    downloads.resume()
    downloads.cancel()
    assert downloads.state().status is DownloadStatus.IDLE


def test_pausing_and_going_on_at_any_moment_ends_in_a_right_model(hub, downloads, tmp_path):
    slowly(hub)
    plan = planned(hub, model(hub), tmp_path)
    downloads.start(plan)
    for turn in range(20):
        time.sleep(0.003 * turn)
        downloads.pause()
        downloads.resume()
    becomes(downloads, DownloadStatus.DONE)
    assert verify(plan.folder) == ()


def test_a_thread_that_was_stopped_speaks_no_more_for_the_download(
    hub, downloads, tmp_path, monkeypatch
):
    def stubborn(plan, on_progress, cancelled, *, patience):
        until(cancelled)
        on_progress(DownloadProgress(file="x", done=1, total=2, bytes_per_second=0, seconds_left=0))

    monkeypatch.setattr("engine.hub.service.download", stubborn)
    downloads.start(planned(hub, model(hub), tmp_path))
    downloads.pause()
    assert downloads.state().status is DownloadStatus.PAUSED
    assert downloads.state().progress is None


def test_going_on_waits_for_a_thread_that_is_slow_to_stop(hub, downloads, tmp_path, monkeypatch):
    ended, told = threading.Event(), []

    def stubborn(plan, on_progress, cancelled, *, patience):
        told.append("begin")
        ended.wait(10.0)
        told.append("end")
        if cancelled():
            raise Cancelled("At last.")

    monkeypatch.setattr("engine.hub.service.download", stubborn)
    monkeypatch.setattr("engine.hub.service.JOIN_SECONDS", 0.05)
    downloads.start(planned(hub, model(hub), tmp_path))
    until(lambda: told == ["begin"])
    downloads.pause()
    downloads.resume()
    time.sleep(0.2)
    assert told == ["begin"]
    ended.set()
    becomes(downloads, DownloadStatus.DONE)
    assert told == ["begin", "end", "begin", "end"]
