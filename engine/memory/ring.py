"""The ring: slabs come into a few slots of the device just before their modules compute.

The host never waits for the device here. The computing stream waits until a copy has ended, the
copying stream until what computed with a slot has; a module's tensors point into its slot from
`enter` to `leave`. Nothing is ever copied back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from engine.memory.accelerator import Accelerator
from engine.memory.feed import Arrival, Feed, Slot
from engine.memory.pieces import Tour
from engine.memory.slab import Setting, Slab


class Visits:
    """The visits of a tour that copies nothing."""

    def skip(self) -> None:
        """Say that no more of this round is visited: what is entered next begins the next one."""


@dataclass(slots=True)
class _Course:
    """A tour under way: its slabs in order, how many visits were sent for and are promised.

    early: how many slabs are visited even in a round that is skipped.
    """

    slabs: tuple[Slab, ...]
    early: int
    sent: int = 0
    promised: int = 0

    def at(self, visit: int) -> Slab:
        """Return what a visit goes to."""
        return self.slabs[visit % len(self.slabs)]


@dataclass(frozen=True, slots=True)
class _Flight:
    slab: Slab
    slot: Slot
    arrival: Arrival


@dataclass(slots=True)
class Ring(Visits):
    """Slots of one size, and the tours that share them."""

    device: Accelerator
    count: int
    slot_bytes: int
    _feed: Feed = field(init=False)
    _free: deque[Slot] = field(default_factory=deque)
    _courses: dict[Tour, _Course] = field(default_factory=dict)
    _now: _Course | None = None
    _flying: deque[_Flight] = field(default_factory=deque)
    _open: dict[str, tuple[Slab, Slot]] = field(default_factory=dict)
    _settings: dict[tuple[str, int], list[Setting]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take the device's memory only when there is something to hold."""
        self._feed = Feed(self.device)

    def lay(self, tours: Mapping[Tour, Sequence[Slab]], early: Mapping[Tour, int]) -> None:
        """Take the slabs of every tour in the order of their visits, as they are now.

        early: of how many of them a skipped round still visits. Slots that are too small for a slab
        are replaced.
        """
        self.stop()
        self._courses = {
            tour: _Course(tuple(slabs), early.get(tour, 0))
            for tour, slabs in tours.items()
            if slabs
        }
        slabs = [slab for course in self._courses.values() for slab in course.slabs]
        self.slot_bytes = max([self.slot_bytes, *(slab.bytes for slab in slabs)])
        if slabs and any(len(slot.memory) < self.slot_bytes for slot in self._free):
            self.device.finish()
            # What points into the old slots would keep them beside the new ones.
            self._settings.clear()
            self._free.clear()
        while slabs and len(self._free) < self.count:
            self._free.append(self._slot())
        self._settings = {
            (slab.name, id(slot)): slab.settings(slot.memory)
            for slab in slabs
            for slot in self._free
        }

    @contextmanager
    def visiting(self, tour: Tour, rounds: int) -> Iterator[Visits]:
        """Announce `rounds` rounds of a tour: slabs are sent for ahead, but no visit beyond them.

        However the block ends, the ring is fit for the next tour.
        """
        course = self._courses.get(tour)
        if course is None:
            yield Visits()
            return
        self.stop()
        self._now = course
        course.sent, course.promised = 0, rounds * len(course.slabs)
        try:
            self._send()
            yield self
        finally:
            self.stop()
            course.promised = 0

    def enter(self, slabs: Sequence[Slab]) -> None:
        """Point the modules of slabs, which are visited together, at their copies."""
        self._leave([slab for slab, _ in self._open.values() if slab not in slabs])
        for slab in slabs:
            if slab.name not in self._open:
                self._enter(slab)

    def leave(self, slabs: Sequence[Slab]) -> None:
        """Give the slots of slabs free, and send for what comes next."""
        self._leave(slabs)
        self._send()

    def skip(self) -> None:
        """Say that no more of this round is visited: what is entered next begins the next one.

        Nothing is copied on its behalf but what is on its way.
        """
        course = self._now
        if course is None:
            return
        here, count = course.sent - len(self._flying), len(course.slabs)
        if not course.early:
            # The round had not begun: what is on its way serves the next one.
            course.promised -= count
            return
        self._drop()
        course.sent = ((here - course.early) // count + 1) * count
        self._send()

    def stop(self) -> None:
        """Leave everything, and call off what is on its way."""
        self._leave([slab for slab, _ in self._open.values()])
        self._drop()

    def close(self) -> None:
        """Let go of slots, stages and the thread."""
        self.stop()
        self._feed.close()
        self.device.finish()
        self._free.clear()
        self._settings.clear()
        self._courses.clear()
        self._now = None

    def _slot(self) -> Slot:
        slot = Slot(self.device.allocate(self.slot_bytes), self.device.mark(), self.device.mark())
        # The memory may be another's, who let it go while the device was still at work on it.
        slot.free.record(copying=False)
        return slot

    def _enter(self, slab: Slab) -> None:
        if not self._flying or self._flying[0].slab is not slab:
            self._turn_to(slab)
        flight = self._flying[0]
        try:
            flight.arrival.meet()
        except BaseException:
            self._drop()
            raise
        self._flying.popleft()
        self._open[slab.name] = (slab, flight.slot)
        for table, leaf, tensor in self._settings[slab.name, id(flight.slot)]:
            table[leaf] = tensor

    def _leave(self, slabs: Sequence[Slab]) -> None:
        for slab in slabs:
            found = self._open.pop(slab.name, None)
            if found is not None:
                slab.rest()
                found[1].free.record(copying=False)
                self._free.append(found[1])

    def _turn_to(self, slab: Slab) -> None:
        """Go on at a slab that was not expected: further on in its tour, or in the next round."""
        self._drop()
        course = next(course for course in self._courses.values() if slab in course.slabs)
        self._now = course
        count, index = len(course.slabs), course.slabs.index(slab)
        course.sent += (index - course.sent) % count
        if course.sent >= course.promised:
            # Nobody announced it: the rest of the round is likely.
            course.promised = course.sent + count - index
        self._send()

    def _send(self) -> None:
        course = self._now
        while course is not None and self._free and course.sent < course.promised:
            slab, slot = course.at(course.sent), self._free[0]
            arrival = self._feed.send(slab, slot)
            self._flying.append(_Flight(slab, self._free.popleft(), arrival))
            course.sent += 1

    def _drop(self) -> None:
        """Call off what is on its way; nobody computed with those slots, so they are free."""
        while self._flying:
            flight = self._flying.pop()
            flight.arrival.drop()
            self._free.appendleft(flight.slot)
            if self._now is not None:
                self._now.sent -= 1
