"""Where streamed pieces wait in the computer: page-locked, in ordinary memory, or on the disk."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final

from engine.hardware import Host
from engine.memory.pieces import Sizes, Tour
from engine.memory.profiles import Traits
from engine.memory.residency import Level
from engine.memory.work import GIB, Budget, Plan, Source

SPARED: Final = 4 * GIB
"""Page-locked memory can never be swapped out: so much is left to everything else."""

WINDOWS_SHARE: Final = 0.4
"""Windows page-locks no more of its memory than about half, and slows down before that."""

ELBOW_ROOM: Final = GIB
"""What is left of the memory that is free now."""

_UNKNOWN: Final = 1 << 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """Where streamed pieces wait, the text encoder's at encoder_source, and what that takes.

    pinned_bytes: page-locked memory, stages included. host_bytes: all memory of the computer.
    """

    source: Source
    encoder_source: Source
    pinned_bytes: int = 0
    host_bytes: int = 0


def pinnable(host: Host, platform: str = sys.platform) -> int:
    """Return the bytes that may be page-locked; none where the computer's memory is not known."""
    limits = [host.total_bytes - SPARED, host.available_bytes - ELBOW_ROOM]
    if platform == "win32":
        limits.append(int(WINDOWS_SHARE * host.total_bytes))
    return max(0, min(limits))


def pageable(host: Host) -> int:
    """Return the bytes of the computer's memory that may be taken; without end if not known."""
    return max(0, host.available_bytes - ELBOW_ROOM) if host.available_bytes else _UNKNOWN


def back(level: Level, slots: int, sizes: Sizes, budget: Budget, traits: Traits) -> Backing:
    """Choose where the pieces that a level streams wait: the fastest place that holds them.

    The text encoder's come last, for they are visited least; its table of words goes with them.
    Beside a device that computes in the computer's own memory nothing waits but on the disk.
    """
    reading = level.copied[Tour.READ]
    rest = sum(level.copied.values()) - reading
    if budget.is_host:
        return Backing(
            source=Source.FILE,
            encoder_source=Source.FILE if reading else Source.PAGED,
            host_bytes=0 if reading else sizes.embedding_bytes,
        )
    stage = slots * level.slot_bytes
    room = _Room(pinnable(budget.host), pageable(budget.host), stage)
    source = encoder = Source.FILE
    if traits.in_memory:
        source = room.take(rest)
    else:
        room.stage()
    if not reading:
        # Its layers stay on the device; the table has no other place, however little there is.
        encoder = source
        room.taken += sizes.embedding_bytes
    elif traits.keep_encoder:
        encoder = room.take(reading, beside=sizes.embedding_bytes)
    return Backing(
        source=source,
        encoder_source=encoder,
        pinned_bytes=room.pinned_taken,
        host_bytes=room.taken,
    )


def backing_of(plan: Plan) -> Backing:
    """Return where the pieces of a plan wait."""
    return Backing(
        source=plan.source,
        encoder_source=plan.encoder_source,
        pinned_bytes=plan.pinned_bytes,
        host_bytes=plan.host_bytes,
    )


class _Room:
    """What is left of the computer's memory while places are given away."""

    def __init__(self, pinnable: int, pageable: int, stage: int) -> None:
        self._pinnable, self._pageable, self._stage = pinnable, pageable, stage
        self.pinned_taken = 0
        self.taken = 0

    def take(self, size: int, beside: int = 0) -> Source:
        """Give a place to `size` bytes, and to `beside` in ordinary memory with them."""
        if size <= self._pinnable and size + beside <= self._pageable:
            self._give(size, pinned=size, beside=beside)
            return Source.PINNED
        self.stage()
        is_paged = size + beside <= self._pageable
        if is_paged:
            self._give(size, pinned=0, beside=beside)
        return Source.PAGED if is_paged else Source.FILE

    def stage(self) -> None:
        """Give a place to the stage that what is not page-locked is copied through."""
        self._give(self._stage, pinned=self._stage)
        self._stage = 0

    def _give(self, size: int, *, pinned: int, beside: int = 0) -> None:
        self._pinnable -= pinned
        self._pageable -= size + beside
        self.pinned_taken += pinned
        self.taken += size + beside
