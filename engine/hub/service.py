"""Downloads for the page: one at a time, in a thread of its own, to be looked at at any moment."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from engine.errors import BadRequest, BugError, Cancelled, ErrorReport, StudioError, report
from engine.hub.download import DEFAULT_PATIENCE, download
from engine.hub.part import PART_SUFFIX
from engine.hub.plan import DownloadPlan
from engine.hub.watch import DownloadProgress, Patience

JOIN_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class DownloadStatus(StrEnum):
    """What the download does now."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadState:
    """A look at the download. plan: None while IDLE. error: why it FAILED."""

    status: DownloadStatus = DownloadStatus.IDLE
    plan: DownloadPlan | None = None
    progress: DownloadProgress | None = None
    error: ErrorReport | None = None


class Downloads:
    """Downloads one model at a time in the background; safe between threads."""

    def __init__(self, patience: Patience = DEFAULT_PATIENCE) -> None:
        """Start idle."""
        self._patience = patience
        self._lock = threading.Lock()
        self._state = DownloadState()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def state(self) -> DownloadState:
        """Return what the download does now."""
        with self._lock:
            return self._state

    def start(self, plan: DownloadPlan) -> None:
        """Begin a download; raise `BadRequest` while another one runs or is paused."""
        with self._lock:
            running = self._state.plan
            if self._is_at_work() and running is not None:
                raise BadRequest(
                    f"{running.title} is being downloaded.", "Wait for it, or cancel it."
                )
            self._state = DownloadState(status=DownloadStatus.RUNNING, plan=plan)
            self._run(plan)

    def pause(self) -> None:
        """Stop for now; what came is kept. Does nothing unless a download runs."""
        self._halt({DownloadStatus.RUNNING}, DownloadStatus.PAUSED)

    def resume(self) -> None:
        """Go on with a download that was paused or failed; else do nothing."""
        with self._lock:
            plan = self._state.plan
            goes_on = {DownloadStatus.PAUSED, DownloadStatus.FAILED}
            if plan is None or self._state.status not in goes_on:
                return
            self._state = replace(self._state, status=DownloadStatus.RUNNING, error=None)
            self._run(plan)

    def cancel(self) -> None:
        """Stop for good and remove the bytes of unfinished files; whole files stay."""
        plan = self.state().plan
        ends = {DownloadStatus.RUNNING, DownloadStatus.PAUSED, DownloadStatus.FAILED}
        if not self._halt(ends, DownloadStatus.CANCELLED) or plan is None:
            return
        for file in plan.files:
            for part in file.path.parent.glob(f"{file.path.name}.*{PART_SUFFIX}"):
                # A file that cannot be removed is gone on with when it is fetched again.
                with suppress(OSError):
                    part.unlink()

    def close(self) -> None:
        """Stop at the program's end; what came is kept."""
        self.pause()

    def _is_at_work(self) -> bool:
        return self._state.status in {DownloadStatus.RUNNING, DownloadStatus.PAUSED}

    def _run(self, plan: DownloadPlan) -> None:
        """Begin the thread; the caller holds the lock."""
        self._stop = stop = threading.Event()
        self._thread = threading.Thread(
            target=self._work, args=(plan, stop, self._thread), name="download", daemon=True
        )
        self._thread.start()

    def _halt(self, before: set[DownloadStatus], after: DownloadStatus) -> bool:
        """Stop the thread and return True, if the download is one of `before`."""
        with self._lock:
            if self._state.status not in before:
                return False
            self._state = replace(self._state, status=after, error=None)
            self._stop.set()
            thread = self._thread
        if thread is not None:
            thread.join(JOIN_SECONDS)
        return True

    def _work(
        self, plan: DownloadPlan, stop: threading.Event, before: threading.Thread | None
    ) -> None:
        """Download in a thread of its own, once the one before has ended."""
        if before is not None:
            before.join()

        def on_progress(progress: DownloadProgress) -> None:
            self._put(stop, progress=progress)

        try:
            download(plan, on_progress, stop.is_set, patience=self._patience)
        except Cancelled:
            # Whoever stopped it has said what it is now.
            return
        except StudioError as error:
            self._put(stop, status=DownloadStatus.FAILED, error=report(error))
        except BaseException as error:
            _log.exception("a download ended in a way nobody foresaw")
            bug = report(BugError(f"Unexpected {type(error).__name__}: {error}."))
            self._put(stop, status=DownloadStatus.FAILED, error=bug)
            raise
        else:
            self._put(stop, status=DownloadStatus.DONE)

    def _put(self, stop: threading.Event, **changes: object) -> None:
        """Change the state, unless this thread was stopped and speaks no more for the download."""
        with self._lock:
            if not stop.is_set():
                self._state = replace(self._state, **changes)  # type: ignore[arg-type]
