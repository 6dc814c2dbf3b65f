"""Which pieces stay, and what that does to the time of a tour, on a simulated clock."""

from __future__ import annotations

from itertools import pairwise

import pytest

from engine.memory.pieces import Tour
from engine.memory.residency import PRIORITY, levels, streamed_names, strided
from tests.engine.memory.schedule import Visit, bound, round_seconds
from tests.engine.memory.true_sizes import BF16, INT8, RTX_3060, RTX_4090, sizes, work

LINKS = (6e9, 12e9, 25e9, 50e9)
MACHINES = [(rates, link) for rates in (RTX_3060, RTX_4090) for link in LINKS]


def on_clock(numbers, rates, link, side, resident):
    """The tour DENOISE with the pieces that are not `resident`, by number, copied."""
    tokens = work(side).tokens
    visits = []
    for index, piece in enumerate(sizes(numbers).tour(Tour.DENOISE)):
        products = piece.operations * tokens / rates.operations[piece.kind]
        mixing = piece.mixing * tokens**2 / rates.operations["bf16"]
        visits.append(Visit(products + mixing, 0 if index in resident else piece.bytes / link))
    return visits


def spread(numbers, kept):
    pieces = sizes(numbers).tour(Tour.DENOISE)
    stay = strided(pieces, kept)[0]
    return {index for index, piece in enumerate(pieces) if piece in stay}


def test_the_clock_knows_what_is_plain():
    assert round_seconds([Visit(1, 0)] * 5, 2) == pytest.approx(5)
    assert round_seconds([Visit(1, 3)] * 5, 2) == pytest.approx(15)
    assert round_seconds([Visit(3, 1)] * 5, 2) == pytest.approx(15)
    assert round_seconds([Visit(2, 3)] * 5, 1) == pytest.approx(25)


@pytest.mark.parametrize(("rates", "link"), MACHINES)
@pytest.mark.parametrize("side", [512, 1024, 2048])
def test_three_slots_and_strided_residents_reach_the_bound(rates, link, side):
    for kept in range(0, 40, 3):
        tour = on_clock(INT8, rates, link, side, spread(INT8, kept))
        assert round_seconds(tour, 3) <= 1.02 * bound(tour)


@pytest.mark.parametrize(("rates", "link"), MACHINES)
@pytest.mark.parametrize("slots", [2, 3])
def test_strided_residents_are_never_slower_than_the_first_ones(rates, link, slots):
    for kept in range(0, 33, 2):
        apart = on_clock(BF16, rates, link, 512, spread(BF16, kept))
        first = on_clock(BF16, rates, link, 512, set(range(kept)))
        assert round_seconds(apart, slots) <= round_seconds(first, slots) * 1.000001


def test_strided_residents_are_much_faster_than_the_first_ones_where_it_counts():
    apart = on_clock(INT8, RTX_3060, 6e9, 512, spread(INT8, 26))
    first = on_clock(INT8, RTX_3060, 6e9, 512, set(range(26)))
    assert round_seconds(apart, 3) < 0.8 * round_seconds(first, 3)


@pytest.mark.parametrize("kept", range(41))
def test_residents_are_as_many_as_asked_and_evenly_spread(kept):
    pieces = sizes().tour(Tour.DENOISE)
    resident, streamed = strided(pieces, kept)
    assert len(resident) == kept
    assert sorted(p.name for p in (*resident, *streamed)) == sorted(p.name for p in pieces)
    places = [pieces.index(piece) for piece in resident]
    gaps = [later - before for before, later in pairwise(places)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_levels_go_from_nothing_to_everything_tour_by_tour():
    found = levels(sizes(), PRIORITY)
    assert found[0].resident_bytes == 0
    assert not found[-1].streams
    assert len(found) == 1 + len(sizes().pieces)
    for before, later in pairwise(found):
        assert sum(later.kept.values()) == sum(before.kept.values()) + 1
    whole = sum(piece.bytes for piece in sizes().pieces)
    for level in found:
        assert level.resident_bytes + sum(level.copied.values()) == whole


def test_a_level_names_what_it_streams():
    for level in levels(sizes(), PRIORITY)[::7]:
        names = streamed_names(sizes(), level)
        gone = [piece for piece in sizes().pieces if piece.name in names]
        assert sum(piece.bytes for piece in gone) == sum(level.copied.values())
        assert level.slot_bytes == max((piece.bytes for piece in gone), default=0)


def test_a_tour_that_may_not_stay_is_streamed_at_every_level():
    found = levels(sizes(), [tour for tour in PRIORITY if tour is not Tour.READ])
    assert {level.kept[Tour.READ] for level in found} == {0}
    assert found[-1].slot_bytes == max(piece.bytes for piece in sizes().tour(Tour.READ))
