"""How long a plan will take: arithmetic and copies beside each other, the slower one counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from engine.hardware import Rates
from engine.memory.backing import Backing
from engine.memory.choices import SLOTS, Choice
from engine.memory.pieces import Sizes, Tour
from engine.memory.work import Budget, Decode, Source, Work, batches

_CARD: Final[Mapping[str, float]] = MappingProxyType(
    {"int8": 8e13, "bf16": 4e13, "fp16": 4e13, "fp32": 1e13}
)
_PROCESSOR: Final[Mapping[str, float]] = MappingProxyType(
    {"int8": 6e11, "bf16": 4e11, "fp16": 1e11, "fp32": 2e11}
)
"""Operations per second that are assumed to choose by where none were measured."""

_LINK: Final = 12e9
_DISK: Final = 1e9
_PAGES: Final = 6e9
"""Bytes per second likewise; the last is what one core copies from ordinary memory."""

_OVERHEAD: Final = 1.15
"""What everything but matrix products adds."""

_MIXING: Final = 0.8
"""Speed of attention, as a share of the products' in the same number type."""

_WAIT: Final = 1.03
"""Of two slots, one is often still in use when the other has arrived and been used."""

_MAP_BYTES: Final = 12e3
"""Bytes of all maps of the autoencoder per pixel, which cross the link where they lie in memory."""

USUAL_TOKENS: Final = 128
"""Of a prompt; memory is planned for the longest, but few are longer than this."""

_HALVES: Final = MappingProxyType({"int8": "bf16"})


def assumed(device: str, rates: Rates) -> Rates:
    """Return rates with those of a usual machine where nothing was measured."""
    usual = _PROCESSOR if device == "cpu" else _CARD
    known = {kind: rate for kind, rate in rates.operations.items() if rate > 0}
    return Rates(link=rates.link or _LINK, disk=rates.disk or _DISK, operations={**usual, **known})


class Clock:
    """Tells how long a job takes by each choice."""

    def __init__(self, work: Work, sizes: Sizes, budget: Budget) -> None:
        usual = min(work.prompt_tokens, USUAL_TOKENS)
        self._work, self._budget = replace(work, prompt_tokens=usual), budget
        self._rates = assumed(budget.device, budget.rates)
        speeds, measured = self._rates.operations, budget.rates.operations
        self._is_timed = all(measured.get(piece.kind, 0.0) > 0 for piece in sizes.pieces)
        self._products, self._mixing = dict.fromkeys(Tour, 0.0), dict.fromkeys(Tour, 0.0)
        decoder = next((piece.kind for piece in sizes.tour(Tour.DECODE)), "bf16")
        self._encoding = sizes.idle_operations / speeds[decoder]
        for piece in sizes.pieces:
            self._products[piece.tour] += piece.operations / speeds[piece.kind]
            rate = speeds[_HALVES.get(piece.kind, piece.kind)]
            self._mixing[piece.tour] += piece.mixing / (rate * _MIXING)

    def seconds(self, choice: Choice, backing: Backing) -> float:
        """Return the seconds of the whole job, from assumed rates where none were measured."""
        work, level = self._work, choice.level
        copies = {tour: self._copy(level.copied[tour], tour, backing) for tour in Tour}
        prompt = self._compute(Tour.READ, work.prompt_tokens)
        refined = self._compute(Tour.REFINE, work.caption_tokens)
        looked = max(self._compute(Tour.LOOK, work.sight_tokens), copies[Tour.LOOK])
        told = work.branches * (
            max(prompt, copies[Tour.READ])
            + max(refined, copies[Tour.REFINE])
            + (looked if work.references else 0.0)
        )
        times = work.evaluations * self._products[Tour.MODULATE]
        is_tight = level.copied[Tour.DENOISE] > 0 and choice.slots < max(SLOTS)
        wait = _WAIT if is_tight else 1.0
        evaluation = work.branches * self._compute(Tour.DENOISE, work.tokens)
        denoised = sum(
            max(count * evaluation, copies[Tour.DENOISE])
            for count in batches(work.count, choice.way.batch)
        )
        return (
            told
            + sum(map(self._encoded, work.encodes))
            + max(times, copies[Tour.MODULATE])
            + work.evaluations * denoised * wait
            + work.count * self._decoded(choice.way.decode, copies[Tour.DECODE])
        )

    def moved(self, choice: Choice) -> float:
        """Return the bytes that are copied to the device in the whole job."""
        work, copied = self._work, choice.level.copied
        rounds = len(batches(work.count, choice.way.batch))
        visits = {
            Tour.READ: work.branches,
            Tour.REFINE: work.branches,
            Tour.LOOK: work.branches if work.references else 0,
            Tour.MODULATE: 1,
            Tour.DENOISE: work.evaluations * rounds,
            Tour.DECODE: work.count,
        }
        return sum(visits[tour] * copied[tour] for tour in Tour)

    def loading(self, sizes: Sizes) -> float:
        """Return the seconds that it takes at least to load the model anew."""
        total = sizes.fixed_bytes + sum(piece.bytes for piece in sizes.pieces)
        return total / self._rates.disk

    def is_measured(self, choice: Choice, backing: Backing) -> bool:
        """Say whether every rate that the seconds follow from was measured."""
        rates, level = self._budget.rates, choice.level
        sources = {backing.source, backing.encoder_source} if level.streams else set()
        crosses = (level.streams or choice.way.decode.on_host) and not self._budget.is_host
        return (
            self._is_timed
            and (rates.link > 0 or not crosses)
            and (rates.disk > 0 or Source.FILE not in sources)
        )

    def _compute(self, tour: Tour, count: int) -> float:
        return _OVERHEAD * count * (self._products[tour] + count * self._mixing[tour])

    def _copy(self, size: int, tour: Tour, backing: Backing) -> float:
        rates = self._rates
        source = backing.encoder_source if tour is Tour.READ else backing.source
        speeds = [] if self._budget.is_host else [rates.link]
        if source is Source.PAGED:
            speeds.append(_PAGES)
        if source is Source.FILE:
            speeds.append(rates.disk)
        return size / min(speeds) if size else 0.0

    def _decoded(self, decode: Decode, copied: float) -> float:
        """Return the seconds of one picture; a strip computes a row more on either side."""
        pixels = self._work.width * self._work.height
        twice = 1.0 if decode.rows is None else (decode.rows + 2) / decode.rows
        moved = _MAP_BYTES * pixels / self._rates.link * decode.on_host
        return max(self._compute_maps(pixels) * twice, copied) + moved

    def _encoded(self, size: tuple[int, int]) -> float:
        """Return the seconds of encoding a picture, by the autoencoder's other half."""
        return _OVERHEAD * size[0] * size[1] * self._encoding

    def _compute_maps(self, pixels: int) -> float:
        return _OVERHEAD * pixels * self._products[Tour.DECODE]
