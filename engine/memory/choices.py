"""Every way to do a job within a budget: how much is resident, batched, and decoded at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final, NamedTuple

from engine.memory.pieces import Sizes, Tour
from engine.memory.profiles import TRAITS
from engine.memory.residency import PRIORITY, Level, levels
from engine.memory.work import MIB, Budget, Decode, Footprint, Plan, Wish, Work
from engine.model.footprint import PRODUCT_TOKENS

BATCH_PIXELS: Final = 2048 * 2048
"""Pixels that are denoised together at most; more pictures go one batch after another."""

STRIP_PIXELS: Final = 512 * 512
"""Pixels that the CPU decodes at once at most, for a user who cancels would wait for more."""

WORKSPACE: Final = 64 * MIB
"""What libraries of a graphics card take from the allocator for themselves."""

ROUNDED: Final = 41 / 40
"""What a card's allocator takes for weights, in proportion: it fills large ones up to 2 MiB."""

FRAGMENTS: Final = 9 / 8
"""What an allocator takes for tensors of changing sizes, in proportion to what they need."""

SLACK: Final = 256 * MIB
"""By so much less may be free of a card, and what lies there stays: loading it anew takes long.

Libraries took as much at their first work, and other programs' windows come and go.
"""

SLOTS: Final = (3, 2)
"""With a third slot a copy can begin while one piece computes and the next one waits."""

_DECODES: Final = (
    Decode(), Decode(rows=256), Decode(rows=64), Decode(rows=64, on_host=True),
    Decode(rows=16, on_host=True),
)  # fmt: skip
_HOST_DECODES: Final = (Decode(), Decode(rows=64), Decode(rows=16))
_FEWEST_ROWS: Final = 16
_ANGLE_BYTES: Final = 1024
"""Angles of one token: 64 pairs of float32, once among the picture's and once among all."""

_SAVED: Final = 3
"""Tensors of all tokens that saving steps keeps or compares."""


class Way(NamedTuple):
    """Pictures denoised at once, how they are decoded, and the bytes of all but weights."""

    batch: int
    decode: Decode
    moving_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Residents and a way that fit together, and the most that the device holds by them."""

    level: Level
    slots: int
    way: Way
    peak_bytes: int


class Case:
    """A job, a model and a budget, and everything about them that no choice changes."""

    def __init__(
        self, work: Work, sizes: Sizes, footprint: Footprint, budget: Budget, wish: Wish
    ) -> None:
        self.work, self.sizes, self.budget = work, sizes, budget
        self.traits = TRAITS[wish.profile]
        self._footprint, self._wish = footprint, wish
        self._levels = levels(sizes, self._tours())
        self._lightest = min(self._weights(level, SLOTS[-1]) for level in self._levels)

    def choices(self) -> Iterator[Choice]:
        """Yield every way that fits, each with as many resident pieces as do."""
        for way in self._ways():
            for slots in SLOTS:
                yield from self._most(self._levels, slots, way, self.budget.device_bytes)

    def again(self, kept: Plan) -> Iterator[Choice]:
        """Yield every way that fits with the residents and the slots of an earlier plan.

        On a card it fits too if it takes no more than that plan, which did fit, and little less is
        free now.
        """
        counts = {tour: count for tour, count, _ in kept.resident}
        same = [level for level in self._levels if level.kept == counts]
        slack = 0 if self._wish.gives_up or self.budget.is_host else SLACK
        free = self.budget.device_bytes
        most = max(free, min(kept.peak_bytes, free + slack))
        for way in self._ways():
            yield from self._most(same, kept.slots, way, most)

    def least(self) -> int:
        """Return the least bytes of the device that the work can be done with."""
        vae = min(max(self._decoding(way), self._encoding(way)) for way in self._decodes())
        return self._lightest + max(self._working(1), vae)

    def at(self, work: Work) -> Case:
        """Return the same for another job."""
        other = copy(self)
        other.work = work
        return other

    def _tours(self) -> tuple[Tour, ...]:
        """Return the tours whose pieces may stay on the device."""
        is_bare = not self.traits.residents and not self.budget.is_host
        if self._wish.no_residents or is_bare:
            return ()
        streams = self._wish.stream_encoder or not self.traits.keep_encoder
        return tuple(tour for tour in PRIORITY if not (streams and tour is Tour.READ))

    def _ways(self) -> Iterator[Way]:
        """Yield batches and ways to decode, with the bytes that they take besides weights."""
        for batch in self._batches():
            working = self._working(batch)
            for decode in self._decodes():
                decoding = max(self._decoding(decode), self._encoding(decode))
                yield Way(batch, decode, max(working, decoding))
                if decoding <= working:
                    # What decodes with less memory than denoising needs gains nothing by less.
                    break

    def _most(self, levels: Sequence[Level], slots: int, way: Way, most: int) -> Iterator[Choice]:
        """Yield the last of some levels that fits `most` bytes; it has the most resident pieces."""
        for level in reversed(levels):
            peak = self._weights(level, slots) + way.moving_bytes
            if peak <= most:
                used = slots if level.streams else 0
                yield Choice(level=level, slots=used, way=way, peak_bytes=peak)
                return

    def _weights(self, level: Level, slots: int) -> int:
        """Return the bytes of the device that are taken all the time."""
        sizes = self.sizes
        stay = sizes.fixed_bytes + level.resident_bytes
        if not level.streams:
            stay += sizes.idle_bytes
        if not self.budget.is_host:
            stay = math.ceil(stay * ROUNDED)
        total = stay + slots * level.slot_bytes
        if self.budget.is_host and not level.copied[Tour.READ]:
            total += sizes.embedding_bytes
        return total

    def _working(self, batch: int) -> int:
        """Return the bytes that reading, and denoising of `batch` pictures, take besides."""
        work, sizes = self.work, self.sizes
        sequences = batch * work.branches
        tokens = sequences * work.tokens
        times = work.evaluations + (1 if work.references else 0)
        held = times * sizes.step_bytes + tokens * _ANGLE_BYTES
        if work.references:
            # What is constant over the steps, and two modulations of the tokens worked on at once.
            kept = work.kept_tokens + work.caption_tokens
            held += sequences * (kept + 2 * PRODUCT_TOKENS) * sizes.token_bytes
        if work.saves_steps:
            held += _SAVED * tokens * sizes.token_bytes
        denoising = held + self._footprint.denoise(work.tokens, sequences)
        return self._taken(max(denoising, self._footprint.encode(work.prompt_tokens)))

    def _decoding(self, decode: Decode) -> int:
        """Return the bytes that decoding takes besides."""
        return self._taken(self._footprint.decode(self.work.width, self.work.height, decode))

    def _encoding(self, decode: Decode) -> int:
        """Return the bytes that encoding pictures takes besides, the encoder's weights included."""
        encodes = self.work.encodes
        if not encodes:
            return 0
        needed = max(self._footprint.encode_picture(*size, decode) for size in encodes)
        sizes = self.sizes
        # Layers come one by one to a card, and what they work in is less than one of them.
        looked = sizes.vision_bytes if self.budget.is_host else sizes.vision_layer_bytes
        looking = looked + sizes.vision_layer_bytes if self.work.references else 0
        return self._taken(max(needed + sizes.idle_bytes, looking))

    def _taken(self, needed: int) -> int:
        """Return what an allocator takes for what is needed."""
        workspace = 0 if self.budget.is_host else WORKSPACE
        return workspace + math.ceil(needed * FRAGMENTS)

    def _batches(self) -> list[int]:
        """Return the numbers of pictures to denoise at once, the largest first.

        Steps are saved picture by picture: else it would depend on its neighbours what is saved.
        """
        if self.work.saves_steps:
            return [1]
        largest = max(1, BATCH_PIXELS // (self.work.width * self.work.height))
        found = [min(largest, self.work.count, self._wish.batch or largest)]
        while found[-1] > 1:
            found.append(found[-1] // 2)
        return found

    def _decodes(self) -> Sequence[Decode]:
        """Return the ways to decode, the one with the least memory last."""
        work, found = self.work, list(_HOST_DECODES if self.budget.is_host else _DECODES)
        if self.budget.device == "cpu" and work.width * work.height > STRIP_PIXELS:
            found[0] = Decode(rows=max(_FEWEST_ROWS, STRIP_PIXELS // work.width))
        found = [way for way in found if way.rows is None or way.rows < work.height]
        return found[-1:] if self._wish.tile else found
