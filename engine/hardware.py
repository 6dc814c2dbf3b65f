"""What there is to compute on and to keep weights in, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MIN_BF16_CAPABILITY = 8
"""Major compute capability from which an NVIDIA card computes in bfloat16 (Ampere)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A graphics card as torch names it.

    capability: (major, minor); of AMD cards the first numbers of their gfx name. free_bytes: what
    other programs leave, counted as if this one held nothing. display: whether a screen is drawn
    from its memory, or might be. kind: cuda, rocm or mps.
    """

    name: str
    capability: tuple[int, int]
    total_bytes: int
    free_bytes: int
    display: bool = False
    kind: str = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The computer around the cards, within the limits that a container sets; 0 bytes = unknown.

    available_bytes: memory that may be taken now, without anything being swapped out.
    """

    total_bytes: int = 0
    available_bytes: int = 0
    cores: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How fast a machine was measured to be; 0, or a name that is missing, = unknown.

    link: bytes/s from page-locked memory to the card. disk: bytes/s from a file. operations:
    multiplications and additions per second of large matrix products, by `Precision`.
    """

    link: float = 0.0
    disk: float = 0.0
    operations: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One way that was tried of doing something.

    subject: what was to be chosen, such as `attention`. seconds: median of one trial. taken:
    whether it is the fastest.
    """

    subject: str
    name: str
    seconds: float
    taken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What was tried on a device, subject by subject; seconds: how long that took in all."""

    device: str
    choices: tuple[Choice, ...] = ()
    seconds: float = 0.0

    def winner(self, subject: str) -> str | None:
        """Return the name of the fastest way, None where there was nothing to choose."""
        taken = (c.name for c in self.choices if c.taken and c.subject == subject)
        return next(taken, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """All that torch finds; `mps` is Apple's GPU, which is no card of its own."""

    cards: tuple[Card, ...] = ()
    mps: bool = False
    host: Host = field(default_factory=Host)

    @property
    def cuda(self) -> tuple[tuple[int, int], ...]:
        """Compute capabilities of the cards that torch calls cuda:0, cuda:1 ..."""
        return tuple(card.capability for card in self.cards)
