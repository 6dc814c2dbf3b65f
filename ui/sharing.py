"""Sharing: a second, smaller page for guests, behind a tunnel that is opened and closed at will.

The owner's page stays on this computer. Who is a guest is told by the port a request comes to,
for addresses and names can be made up; so guests have a page of their own, built without settings,
folders and history, under a password, and gone with its port when sharing ends.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from engine import CancelledError, Engine, StudioError, UserError
from ui import sharing_strings as strings
from ui.guests import Guests
from ui.serving import Exposure, build_served, free_port
from ui.tunnel import Tunnel

if TYPE_CHECKING:
    import gradio as gr

USER_NAME: Final = "guest"
MIN_PASSWORD: Final = 12
MAX_HOURS: Final = 8.0

_log = logging.getLogger(__name__)


class Phase(StrEnum):
    """How far sharing is."""

    OFF = "off"
    STARTING = "starting"
    ON = "on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Sharing as the owner sees it. note: why it is off, if it ended by itself or failed."""

    phase: Phase
    url: str = ""
    user: str = USER_NAME
    password: str = ""
    guests: int = 0
    seconds_left: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guesthouse:
    """A page that is being shared. ends: by the monotonic clock."""

    demo: gr.Blocks
    tunnel: Tunnel
    guests: Guests
    url: str
    password: str
    ends: float
    timer: threading.Timer


class Sharing:
    """Starts and ends sharing; may be asked from any thread."""

    def __init__(self, engine: Engine, make_tunnel: Callable[[], Tunnel]) -> None:
        self._engine = engine
        self._make_tunnel = make_tunnel
        self._lock = threading.Lock()
        self._wanted: threading.Event | None = None
        self._house: _Guesthouse | None = None
        self._note = ""

    def state(self) -> Share:
        """Say how sharing is, without waiting."""
        with self._lock:
            house, starting, note = self._house, self._wanted is not None, self._note
        if house is None:
            return Share(phase=Phase.STARTING if starting else Phase.OFF, note=note)
        return Share(
            phase=Phase.ON,
            url=house.url,
            password=house.password,
            guests=house.guests.count,
            seconds_left=max(0, round(house.ends - time.monotonic())),
        )

    def start(self, *, hours: float = MAX_HOURS, password: str | None = None) -> None:
        """Open the guests' page and its link; where that is done or under way, do nothing.

        hours: above 0, at most 8. password: at least 12 characters, None makes one up. Raise
        `UserError` for these, else an error of the tree; nothing stays open then.
        """
        _check(hours, password)
        with self._lock:
            if self._wanted is not None:
                return
            self._wanted, self._note = threading.Event(), ""
            stop = self._wanted
        try:
            house = self._open(hours, password or _new_password(), stop)
        except StudioError as error:
            self._forget(stop, str(error))
            raise
        except BaseException:
            self._forget(stop, "")
            raise
        with self._lock:
            kept = not stop.is_set()
            if kept:
                self._house = house
                house.timer.start()
        if not kept:
            _close(house)
            raise CancelledError(strings.CANCELLED)

    def stop(self) -> None:
        """Close link and page, and cancel the guests' jobs; returns once the link is dead.

        May be called at any time, and twice.
        """
        with self._lock:
            stop = self._wanted
        if stop is not None:
            self._end(stop, "")

    def _open(self, hours: float, password: str, stop: threading.Event) -> _Guesthouse:
        guests, port = Guests(self._engine), free_port()
        exposure = Exposure(password=password, user=USER_NAME, guests=guests)
        demo = build_served(self._engine, exposure, port)
        tunnel = self._make_tunnel()
        try:
            url = tunnel.open(port, stop.is_set, lambda: self._end(stop, strings.ENDED_LOST))
        except BaseException:
            tunnel.close()
            demo.close(verbose=False)
            raise
        timer = threading.Timer(hours * 3600, self._end, (stop, strings.ENDED_LIMIT))
        timer.daemon = True
        return _Guesthouse(
            demo=demo,
            tunnel=tunnel,
            guests=guests,
            url=url,
            password=password,
            ends=time.monotonic() + hours * 3600,
            timer=timer,
        )

    def _end(self, stop: threading.Event, note: str) -> None:
        """End the sharing that `stop` belongs to, not one that was started since."""
        with self._lock:
            if self._wanted is not stop:
                return
            house = self._house
            self._house = self._wanted = None
            self._note = note
            stop.set()
        _log.info("sharing ended; %s", note or "it was stopped")
        if house is not None:
            _close(house)

    def _forget(self, stop: threading.Event, note: str) -> None:
        with self._lock:
            if self._wanted is stop:
                self._wanted, self._note = None, note


def _close(house: _Guesthouse) -> None:
    house.timer.cancel()
    house.tunnel.close()
    house.guests.cancel_all()
    house.demo.close(verbose=False)


def _check(hours: float, password: str | None) -> None:
    if not 0 < hours <= MAX_HOURS:
        raise UserError(f"Sharing for {hours:g} hours is not on offer.", f"At most {MAX_HOURS:g}.")
    if password is not None and len(password) < MIN_PASSWORD:
        raise UserError(strings.SHORT_KEY, strings.SHORT_KEY_ACTION)


def _new_password() -> str:
    """Return 64 random bits, in groups that can be read out."""
    drawn = secrets.token_hex(8)
    return "-".join(drawn[i : i + 4] for i in range(0, 16, 4))
