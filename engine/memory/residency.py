"""Which pieces stay on the device: spread evenly over a tour, so that copies never bunch up.

Between two streamed pieces that lie apart, the copy of the second has the time of all resident
ones between them; were the first pieces of a tour resident, the last would wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.memory.pieces import Piece, Sizes, Tour

PRIORITY: Final = (
    Tour.DENOISE, Tour.DECODE, Tour.MODULATE, Tour.REFINE, Tour.LOOK, Tour.READ,
)  # fmt: skip
"""What is visited more often becomes resident first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One choice of resident pieces.

    kept: how many of each tour. resident_bytes: theirs together. slot_bytes: the largest piece that
    is streamed, 0 where none is. copied: bytes that a visit of each tour copies.
    """

    kept: Mapping[Tour, int]
    resident_bytes: int
    slot_bytes: int
    copied: Mapping[Tour, int]

    @property
    def streams(self) -> bool:
        """Say whether anything is streamed."""
        return self.slot_bytes > 0


def strided(pieces: Sequence[Piece], kept: int) -> tuple[list[Piece], list[Piece]]:
    """Split a tour into `kept` resident pieces, spread evenly, and the streamed rest."""
    resident: list[Piece] = []
    streamed: list[Piece] = []
    for index, piece in enumerate(pieces):
        (resident if stays(index, kept, len(pieces)) else streamed).append(piece)
    return resident, streamed


def stays(index: int, kept: int, count: int) -> bool:
    """Say whether a piece of a tour of `count` stays, where `kept` of them do."""
    return (index + 1) * kept // count > index * kept // count


def levels(sizes: Sizes, tours: Collection[Tour]) -> tuple[Level, ...]:
    """Return every choice, from nothing resident to all pieces of `tours`."""
    return tuple(_levels({tour: sizes.tour(tour) for tour in Tour}, tours))


def _levels(pieces: Mapping[Tour, Sequence[Piece]], tours: Collection[Tour]) -> Iterator[Level]:
    parts = {tour: [piece.bytes for piece in pieces[tour]] for tour in Tour}
    kept = dict.fromkeys(Tour, 0)
    copied = {tour: sum(parts[tour]) for tour in Tour}
    largest = {tour: max(parts[tour], default=0) for tour in Tour}
    whole = sum(copied.values())

    def level() -> Level:
        return Level(
            kept=kept.copy(),
            resident_bytes=whole - sum(copied.values()),
            slot_bytes=max(largest.values()),
            copied=copied.copy(),
        )

    yield level()
    for tour in (tour for tour in PRIORITY if tour in tours):
        count = len(parts[tour])
        for stay in range(1, count + 1):
            leave = [
                size for index, size in enumerate(parts[tour]) if not stays(index, stay, count)
            ]
            kept[tour], copied[tour], largest[tour] = stay, sum(leave), max(leave, default=0)
            yield level()


def streamed_names(sizes: Sizes, level: Level) -> frozenset[str]:
    """Return the names of the pieces that a level streams."""
    return frozenset(
        piece.name for tour in Tour for piece in strided(sizes.tour(tour), level.kept[tour])[1]
    )
