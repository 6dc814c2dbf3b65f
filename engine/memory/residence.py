"""Where a model's weights lie, and how those that do not stay on the device get there in time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from engine.checkpoints.checkpoint import Part
from engine.memory.accelerator import Plain, accelerator_for
from engine.memory.landing import FileLanding, Landing, in_order
from engine.memory.pieces import IDLE, Tour, tour_of
from engine.memory.place import Place
from engine.memory.ring import Ring, Visits
from engine.memory.slab import Slab
from engine.memory.slab_file import Identity
from engine.memory.work import Plan, Source

TEXT_ENCODER: Final = "text_encoder"
TRANSFORMER: Final = "transformer"
VAE: Final = "vae"

SLABS: Final = "slabs"
"""Folder of files of slabs, inside the folder of caches."""

_FEWEST_SLOTS: Final = 2
_SHARED: Final = "feed_forward"
"""Its two halves are visited together, since they may take turns."""

_LATER: Final = f"{TRANSFORMER}.layers."
_FIRST: Final = f"{TRANSFORMER}.layers.0."


@dataclass(slots=True)
class _Joined:
    """A network with pieces that travel, and the hooks on it."""

    network: nn.Module
    landing: Landing
    hooks: list[RemovableHandle]


class Residence:
    """The slabs of a model that is streamed as a plan says, and the ring that they go through.

    folder: where files of slabs lie.
    """

    def __init__(self, plan: Plan, place: Place, caches: Path) -> None:
        """Take the plan, the place, and the folder of caches in which files of slabs lie."""
        self.plan = plan
        self.place = place
        self.folder = caches / SLABS
        device = torch.device(place.device)
        self._device = accelerator_for(device) if plan.streamed else Plain(device)
        self._ring = Ring(self._device, max(plan.slots, _FEWEST_SLOTS), plan.slot_bytes)
        self._joined: dict[str, _Joined] = {}

    def landing(self, network: str, part: Part) -> Landing:
        """Return where a network of this name, filled from `part`, goes while it is loaded."""
        start = f"{network}."
        pieces = [p.removeprefix(start) for p in self.plan.streamed if p.startswith(start)]
        is_encoder = network == TEXT_ENCODER
        source = self.plan.encoder_source if is_encoder else self.plan.source
        if source is Source.FILE and pieces:
            identity = Identity(network, part.digest, self._facts(part))
            landing: Landing = FileLanding(identity, pieces, self.folder)
        else:
            landing = Landing(network, pieces, self._device if source is Source.PINNED else None)
        if network == VAE and self.plan.streamed:
            landing.idle = IDLE.removeprefix(start)
        return landing

    def serves(self, plan: Plan) -> bool:
        """Say whether everything lies as another plan wants it; slots grow where they must.

        What a file of slabs no longer holds must be loaded again.
        """
        if any(joined.landing.is_damaged for joined in self._joined.values()):
            return False
        mine = self.plan
        if plan.streamed != mine.streamed or not plan.streamed:
            return plan.streamed == mine.streamed
        sources = (plan.source, plan.encoder_source) == (mine.source, mine.encoder_source)
        return sources and plan.slots <= self._ring.count

    def join(self, network: nn.Module, landing: Landing) -> None:
        """Stream a network that was loaded through a landing from now on."""
        joined = self._joined[landing.network] = _Joined(network, landing, [])
        try:
            self._lay()
        except BaseException:
            # No memory for the slots: the network is not to be used.
            del self._joined[landing.network]
            _unhook(joined)
            landing.close()
            raise

    def part(self, network: str) -> None:
        """Let go of the slabs of a network that is no longer used."""
        joined = self._joined.pop(network, None)
        if joined is not None:
            self._quiet()
            _unhook(joined)
            self._lay()
            joined.landing.close()

    def visiting(self, tour: Tour, rounds: int) -> AbstractContextManager[Visits]:
        """Announce rounds of a tour; see `Ring.visiting`."""
        return self._ring.visiting(tour, rounds)

    def repack(self) -> None:
        """Take into the slabs what adapters put into the networks, or took away."""
        self._quiet()
        changed = False
        for joined in self._joined.values():
            for piece, slab in joined.landing.slabs.items():
                changed |= slab.repack(joined.network.get_submodule(piece))
        if changed:
            self._lay()

    def lend(self, owner: nn.Module) -> AbstractContextManager[None]:
        """Give a module that may be streamed real tensors of its own for a while."""
        for joined in self._joined.values():
            for slab in joined.landing.slabs.values():
                if any(cell.owner is owner for cell in slab.own):
                    return slab.lend(owner)
        return nullcontext()

    @contextmanager
    def awake(self, network: str) -> Iterator[None]:
        """Have on the device, while the block runs, what else of a network lies idle."""
        joined = self._joined[network]
        idle = joined.landing.idle
        if idle is None:
            yield
            return
        resting = [(p, p.data) for p in joined.network.get_submodule(idle).parameters()]
        try:
            # Weights made in inference mode could never be changed in place.
            with torch.inference_mode(False):
                for parameter, rest in resting:
                    parameter.data = rest.to(self.place.device)
            yield
        finally:
            for parameter, rest in resting:
                parameter.data = rest

    def close(self) -> None:
        """Let go of everything."""
        self._ring.close()
        for joined in self._joined.values():
            _unhook(joined)
            joined.landing.close()
        self._joined.clear()

    def _quiet(self) -> None:
        """Wait until no slab is on its way."""
        self._ring.stop()
        if self._joined:
            self._device.finish()

    def _facts(self, part: Part) -> tuple[object, ...]:
        place = self.place
        stamps = [[header.digest, *header.stamp] for header in part.headers]
        device = place.device.partition(":")[0]
        return place.precision.value, str(place.dtype), device, stamps

    def _lay(self) -> None:
        """Give the ring its tours, and hook the modules at which they stop."""
        tours: dict[Tour, list[Slab]] = {}
        for joined in self._joined.values():
            _unhook(joined)
            slabs = joined.landing.slabs
            order = in_order(joined.network, slabs)
            for path in order:
                tours.setdefault(tour_of(slabs[path].name), []).append(slabs[path])
            for stop, group in _stops(order):
                module = joined.network.get_submodule(stop)
                joined.hooks += self._hooked(module, [slabs[path] for path in group])
        early = [slab for slab in tours.get(Tour.DENOISE, ()) if _is_early(slab.name)]
        self._ring.lay(tours, {Tour.DENOISE: len(early)})

    def _hooked(self, module: nn.Module, slabs: Sequence[Slab]) -> Iterator[RemovableHandle]:
        ring = self._ring
        yield module.register_forward_pre_hook(lambda *_: ring.enter(slabs))
        yield module.register_forward_hook(lambda *_: ring.leave(slabs))


def _is_early(name: str) -> bool:
    """Say whether a piece is visited even in a round whose later blocks are skipped."""
    return not name.startswith(_LATER) or f"{name}.".startswith(_FIRST)


def _stops(order: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the path of every module that is stopped at, with the pieces that it needs there."""
    stops: dict[str, list[str]] = {}
    for path in order:
        above = path.rpartition(".")[0]
        stops.setdefault(above if above.endswith(f".{_SHARED}") else path, []).append(path)
    yield from stops.items()


def _unhook(joined: _Joined) -> None:
    for hook in joined.hooks:
        hook.remove()
    joined.hooks.clear()
