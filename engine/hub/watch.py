"""How long a download waits, and how it learns that the user has had enough."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from engine.errors import Cancelled

REPORT_SECONDS: Final = 0.25
SPEED_SECONDS: Final = 5.0
"""Speed is that of the last seconds, as long as these."""

SLICE_SECONDS: Final = 0.2
"""Every wait is cut into slices of this length, in which the user can cancel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds, and how often to try again without a byte of progress."""

    connect: float = 15.0
    stall: float = 30.0
    tries: int = 5
    pause: float = 1.0
    longest_pause: float = 30.0


@dataclass(slots=True)
class Watch:
    """Whether the user cancelled; asked at every slice of every wait."""

    cancelled: Callable[[], bool] = field(default=lambda: False)

    def check(self) -> None:
        """Raise `Cancelled` if the user did."""
        if self.cancelled():
            raise Cancelled("The download was stopped.", "It goes on from here when started again.")

    def sleep(self, seconds: float) -> None:
        """Wait; raise `Cancelled` as soon as the user cancels."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, SLICE_SECONDS))
        self.check()


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadProgress:
    """How far a download is. file: what is being brought. Sizes in bytes, of all files."""

    file: str
    done: int
    total: int
    bytes_per_second: float
    seconds_left: float | None


class Meter:
    """Counts bytes and reports how far the download is, a few times a second."""

    def __init__(self, total: int, on_progress: Callable[[DownloadProgress], None]) -> None:
        """Start at nothing of `total` bytes."""
        self._total = total
        self._done = 0
        self._came = 0
        self._file = ""
        self._on_progress = on_progress
        self._samples: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def begin(self, file: str) -> None:
        """Name the file that comes next."""
        self._file = file
        self.report()

    def count(self, size: int) -> None:
        """Take down bytes that came over the network."""
        self._came += size
        self.skip(size)

    def skip(self, size: int) -> None:
        """Take down bytes that were here already; negative ones were thrown away."""
        self._done += size
        if time.monotonic() - self._samples[-1][0] >= REPORT_SECONDS:
            self.report()

    def settle(self, size: int) -> None:
        """Take down how many bytes there are in all, now that a file is done."""
        self.skip(size - self._done)

    def report(self) -> None:
        """Say how far it is now."""
        now = time.monotonic()
        self._samples.append((now, self._came))
        while len(self._samples) > 2 and now - self._samples[0][0] > SPEED_SECONDS:
            self._samples.popleft()
        start, came = self._samples[0]
        speed = (self._came - came) / max(now - start, SLICE_SECONDS)
        left = max(0, self._total - self._done)
        self._on_progress(
            DownloadProgress(
                file=self._file,
                done=min(self._done, self._total),
                total=self._total,
                bytes_per_second=speed,
                seconds_left=left / speed if speed > 0 else None,
            )
        )
