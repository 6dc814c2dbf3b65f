"""Whatever the streams of a device do, modules compute with their own weights, and just in time."""

from __future__ import annotations

import random

import pytest

from engine.memory.pieces import Tour
from engine.memory.ring import Ring
from engine.memory.slab import Slab
from tests.engine.memory.fake_device import ClockDevice, FakeDevice, Shelf, Tagged, slab_of

SCHEDULES = 1000
SIZE = 40
WAYS = ("locked", "paged", "filed")


class Rig:
    """A ring on a made-up device, with two tours whose modules check what they compute with."""

    def __init__(self, seed: int, way: str = "locked", pieces: int = 5, slots: int = 2) -> None:
        self.device = FakeDevice(seed, locks=way == "locked")
        self.shelf = Shelf()
        self.modules: dict[str, Tagged] = {}
        self.tours = {
            Tour.DENOISE: self._slabs("d", pieces, way), Tour.READ: self._slabs("r", 3, way)
        }  # fmt: skip
        self.ring = Ring(self.device, slots, 0)
        self.ring.lay(self.tours, {Tour.DENOISE: 1})

    def _slabs(self, name: str, count: int, way: str) -> list[Slab]:
        found = []
        for number in range(count):
            module = Tagged(len(self.modules) + 1, SIZE + number)
            slab = slab_of(module, f"{name}{number}")
            slab.pack(self.device if way == "locked" else None)
            if way == "filed":
                self.shelf.put(slab)
            self.modules[slab.name] = module
            found.append(slab)
        return found

    def visit(self, slab: Slab) -> None:
        self.ring.enter([slab])
        self.modules[slab.name].run(self.device)
        self.ring.leave([slab])

    def tour(self, tour: Tour, rounds: int, stop: int | None = None) -> None:
        """Go through a tour; break off before visit `stop`."""
        slabs = [*self.tours[tour]] * rounds
        self.device.touring = True
        with self.ring.visiting(tour, rounds):
            for slab in slabs[:stop]:
                self.visit(slab)
            if stop is not None:
                raise InterruptedError

    def end(self) -> None:
        """Let the device finish, and see that it found nothing wrong."""
        self.device.touring = False
        self.device.finish()
        assert self.device.races == []
        assert self.device.syncs == self.device.allocated == 0

    def close(self) -> None:
        self.ring.close()
        for slab in (slab for slabs in self.tours.values() for slab in slabs):
            slab.close()
        assert self.device.locked == set()


@pytest.fixture
def rig():
    """Make rigs that are closed at the end."""
    made = []

    def make(*arguments, **options) -> Rig:
        made.append(Rig(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def adventure(seed: int) -> None:
    """Go through tours that are announced or not, skipped, cut short or hit by failures."""
    chance = random.Random(seed)
    rig = Rig(seed, WAYS[seed % 3], chance.randint(1, 6), chance.randint(2, 3))
    try:
        for _ in range(chance.randint(1, 4)):
            chance.choice(EVENTS)(rig, chance)
            # What was sent for on a guess may still be on its way.
            rig.ring.stop()
            rig.end()
        calm(rig, chance)
        rig.end()
    finally:
        rig.close()


def calm(rig: Rig, chance: random.Random) -> None:
    """Announced and gone through: one copy a visit, and not one more."""
    tour, rounds = chance.choice(list(rig.tours)), chance.randint(1, 4)
    before = rig.device.copies
    rig.tour(tour, rounds)
    assert rig.device.copies - before == rounds * len(rig.tours[tour])


def unannounced(rig: Rig, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 8)):
        rig.visit(chance.choice(rig.tours[chance.choice(list(rig.tours))]))


def skipped(rig: Rig, chance: random.Random) -> None:
    slabs, rounds = rig.tours[Tour.DENOISE], chance.randint(1, 5)
    rig.device.touring = True
    with rig.ring.visiting(Tour.DENOISE, rounds) as visits:
        for _ in range(rounds):
            rig.visit(slabs[0])
            if chance.random() < 0.5:
                visits.skip()
                continue
            for slab in slabs[1:]:
                rig.visit(slab)
    rig.device.touring = False


def broken_off(rig: Rig, chance: random.Random) -> None:
    tour, rounds = chance.choice(list(rig.tours)), chance.randint(1, 3)
    with pytest.raises(InterruptedError):
        rig.tour(tour, rounds, stop=chance.randrange(rounds * len(rig.tours[tour])))


def link_breaks(rig: Rig, chance: random.Random) -> None:
    rounds = chance.randint(1, 3)
    count = rounds * len(rig.tours[Tour.DENOISE])
    rig.device.fail_at = rig.device.copies + 1 + chance.randrange(count)
    with pytest.raises(RuntimeError, match="the link broke"):
        rig.tour(Tour.DENOISE, rounds)


def disk_breaks(rig: Rig, chance: random.Random) -> None:
    if rig.shelf.bytes:
        rig.shelf.fail_at = rig.shelf.reads + 1 + chance.randrange(len(rig.tours[Tour.DENOISE]))
        with pytest.raises(OSError, match="the disk broke"):
            rig.tour(Tour.DENOISE, 1)


EVENTS = (calm, unannounced, skipped, broken_off, link_breaks, disk_breaks)


@pytest.mark.parametrize("first", range(0, SCHEDULES, 100))
def test_a_thousand_schedules_hold_no_race_no_wait_of_the_host_and_no_copy_too_many(first):
    for seed in range(first, first + 100):
        adventure(seed)


@pytest.mark.parametrize("slots", [2, 3])
@pytest.mark.parametrize(("copying", "computing"), [(1, 1), (1, 5), (5, 1), (1, 1.1), (1.1, 1)])
def test_copies_and_computing_take_no_longer_than_the_slower_of_the_two(slots, copying, computing):
    pieces, rounds, size = 8, 30, 256
    device = ClockDevice(copying / (2 * size))
    slabs = [slab_of(Tagged(number, size), str(number)) for number in range(pieces)]
    for slab in slabs:
        slab.pack(device)
    ring = Ring(device, slots, 0)
    ring.lay({Tour.DENOISE: slabs}, {})
    with ring.visiting(Tour.DENOISE, rounds):
        for visit in range(pieces * rounds):
            ring.enter([slabs[visit % pieces]])
            device.compute(computing)
            ring.leave([slabs[visit % pieces]])
    ring.close()
    assert max(device.now) <= 1.02 * max(copying, computing) * pieces * rounds
    assert max(device.now) >= max(copying, computing) * pieces * rounds


def test_residents_between_streamed_pieces_hide_copies_that_are_longer_than_a_visit():
    """Three of four pieces stay, so a copy may take four visits."""
    size, visits = 256, 240
    device = ClockDevice(3.9 / (2 * size))
    slabs = [slab_of(Tagged(number, size), str(number)) for number in range(8)]
    for slab in slabs:
        slab.pack(device)
    ring = Ring(device, 2, 0)
    ring.lay({Tour.DENOISE: slabs}, {})
    with ring.visiting(Tour.DENOISE, visits // 8):
        for visit in range(visits):
            ring.enter([slabs[visit % 8]])
            device.compute(1)
            ring.leave([slabs[visit % 8]])
            device.compute(3)
    ring.close()
    assert max(device.now) <= 1.02 * 4 * visits


@pytest.mark.parametrize("way", WAYS)
def test_copies_go_on_into_the_next_round_but_not_beyond_the_last(rig, way):
    made = rig(1, way)
    slabs = made.tours[Tour.DENOISE]
    with made.ring.visiting(Tour.DENOISE, 2):
        for slab in slabs:
            made.visit(slab)
        assert [flight.slab for flight in made.ring._flying] == slabs[:2]
        for slab in slabs:
            made.visit(slab)
        assert not made.ring._flying
    made.end()
    assert made.device.copies == 2 * len(slabs)


def test_a_skipped_round_wastes_only_what_was_on_its_way(rig):
    made = rig(1, pieces=6, slots=3)
    slabs = made.tours[Tour.DENOISE]
    with made.ring.visiting(Tour.DENOISE, 3) as visits:
        for _ in range(3):
            made.visit(slabs[0])
            visits.skip()
    made.end()
    assert made.device.copies <= 3 * (1 + 3)


def test_a_skipped_round_that_had_not_begun_wastes_nothing(rig):
    made = rig(1)
    made.ring.lay(made.tours, {})
    slabs = made.tours[Tour.DENOISE]
    with made.ring.visiting(Tour.DENOISE, 3) as visits:
        for slab in slabs:
            made.visit(slab)
        visits.skip()
        for slab in slabs:
            made.visit(slab)
    made.end()
    assert made.device.copies == 2 * len(slabs)


def test_another_tour_in_between_is_right_and_the_first_one_goes_on(rig):
    made = rig(1)
    first, second = made.tours[Tour.DENOISE], made.tours[Tour.READ]
    with made.ring.visiting(Tour.DENOISE, 2):
        made.visit(first[0])
        with made.ring.visiting(Tour.READ, 1):
            for slab in second:
                made.visit(slab)
        for slab in first[1:]:
            made.visit(slab)
        assert [flight.slab for flight in made.ring._flying] == first[:2]
        for slab in first:
            made.visit(slab)
    made.end()
    on_the_way = 2
    assert made.device.copies == 2 * len(first) + len(second) + on_the_way


def test_pieces_that_are_visited_together_share_the_slots(rig):
    made = rig(1)
    slabs = made.tours[Tour.DENOISE]
    with made.ring.visiting(Tour.DENOISE, 1):
        made.ring.enter(slabs[:2])
        for slab in (*slabs[:2], *slabs[:2]):
            made.modules[slab.name].run(made.device)
        made.ring.leave(slabs[:2])
        for slab in slabs[2:]:
            made.visit(slab)
    made.end()
    assert made.device.copies == len(slabs)


def test_a_visit_that_nobody_announced_can_be_tried_again_after_a_failure(rig):
    made = rig(1, "filed")
    made.shelf.fail_at = 1
    with pytest.raises(OSError, match="the disk broke"):
        made.visit(made.tours[Tour.READ][0])
    made.visit(made.tours[Tour.READ][0])
    made.end()


@pytest.mark.parametrize("way", WAYS)
def test_a_module_that_was_left_has_its_tensors_at_rest_again(rig, way):
    made = rig(1, way)
    slab = made.tours[Tour.READ][0]
    module = made.modules[slab.name]
    resting = module.weight
    with pytest.raises(InterruptedError), made.ring.visiting(Tour.READ, 1):
        made.ring.enter([slab])
        assert module.weight is not resting
        raise InterruptedError
    assert module.weight is resting
    assert (resting.device.type == "meta") is (way == "filed")


def test_a_tour_of_which_nothing_is_streamed_costs_nothing(rig):
    made = rig(1)
    with made.ring.visiting(Tour.DECODE, 3) as visits:
        visits.skip()
    assert made.device.copies == 0


def test_stages_are_as_large_as_any_slab_from_the_first(rig, monkeypatch):
    made, locked = rig(1, "paged"), []
    module = Tagged(99, 20 * SIZE)
    last = slab_of(module, "last")
    last.pack(None)
    made.modules["last"] = module
    made.tours[Tour.DENOISE].append(last)
    made.ring.lay(made.tours, {})
    monkeypatch.setattr(made.device, "lock", lambda pages: bool(locked.append(len(pages))))
    made.tour(Tour.DENOISE, 3)
    made.end()
    assert locked == [made.ring.slot_bytes] * 2


def test_slots_grow_when_a_slab_does_and_the_old_ones_go_first(rig):
    made = rig(1)
    before = made.ring.slot_bytes
    module = Tagged(99, 20 * SIZE)
    large = slab_of(module, "large")
    large.pack(made.device)
    made.modules["large"] = module
    made.tours[Tour.DECODE] = [large]
    made.ring.lay(made.tours, {})
    assert made.ring.slot_bytes >= large.bytes > before
    assert made.device.most_lent == 2
    made.tour(Tour.DECODE, 2)
    made.end()
