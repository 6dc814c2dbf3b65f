"""CUDA graphs: the launches of a block replayed as one, where launching outlasts computing.

One graph serves all blocks whose weights come to the same addresses: a resident block, or all that
pass through a slot. They share one pool of memory; what goes in and out is copied.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import torch
from torch import Tensor

from engine.model.attempt import attempt, in_one_line
from engine.model.layers import Block, BlockForm, BlockModulation, Change
from engine.model.rope import Rotation
from engine.quant.fused_block import fits

_log = logging.getLogger(__name__)

_SHARE: Final = 0.8
"""Where launching takes so much of a block's time, the card waits for it."""

_MEASURED: Final = (4, 5)
"""On which visits of a layout time is taken: before, kernels are built and forms proved."""

_LAYOUTS: Final = 4
_MOST: Final = 64
"""How many layouts, and graphs of each, are kept."""

Work = Callable[[], None]


def launches_dominate(launching: float, total: float) -> bool:
    """Say whether a card waits for launches: of so many seconds in `total`, `launching` took some.

    A card that has enough to compute is busy long after the last launch.
    """
    return launching >= _SHARE * total


class Recorder(Protocol):
    """What records work on a device."""

    def record(self, work: Work) -> Work:
        """Record the launches of `work` and return what replays them; `work` may run once more."""
        ...

    def seconds(self, work: Work) -> tuple[float, float]:
        """Return how long `work` takes to launch, and to be done."""
        ...


class CudaRecorder:
    """Records CUDA graphs that share one pool of memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()
        self._is_warm = False

    def record(self, work: Work) -> Work:
        """Record the launches of `work` and return what replays them."""
        graph = torch.cuda.CUDAGraph()
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            if not self._is_warm:
                # Libraries take memory for a stream at their first work on it: not to be recorded.
                work()
                self._is_warm = True
            # Other threads go on copying weights meanwhile.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                work()
            finally:
                graph.capture_end()
        current.wait_stream(self._stream)
        return graph.replay

    def seconds(self, work: Work) -> tuple[float, float]:
        """Return how long `work` takes to launch, and to be done."""
        torch.cuda.synchronize(self._device)
        began = time.perf_counter()
        work()
        launched = time.perf_counter() - began
        torch.cuda.synchronize(self._device)
        return launched, time.perf_counter() - began


@dataclass(slots=True)
class _Room:
    """Where recorded launches find tokens [G, T, D], angles and modulation; results replace tokens.

    The addresses stay. `turned`: the angles that were copied last.
    """

    x: Tensor
    angles: Rotation
    modulation: BlockModulation
    turned: Rotation

    def fill(self, x: Tensor, angles: Rotation, modulation: BlockModulation) -> None:
        """Copy what a block is to work on."""
        torch._foreach_copy_([self.x, *self.modulation], [x, *modulation])
        if angles is not self.turned:
            self.angles.cos.copy_(angles.cos)
            self.angles.sin.copy_(angles.sin)
            self.turned = angles


def _room(x: Tensor, angles: Rotation, modulation: BlockModulation) -> _Room:
    places = Rotation(angles.cos.clone(), angles.sin.clone())
    parts = BlockModulation(*(part.clone() for part in modulation))
    return _Room(x.clone(), places, parts, angles)


@dataclass(slots=True)
class _Layout:
    """Shapes that come again: how often, whether graphs pay for them, and the graphs by weights."""

    visits: int = 0
    pays: bool = True
    room: _Room | None = None
    graphs: dict[Hashable, Work] = field(default_factory=dict)


class Graphs:
    """A form of blocks, replayed as graphs where that pays and gives the very same numbers."""

    def __init__(self, form: BlockForm, recorder: Recorder) -> None:
        self._form = form
        self._recorder = recorder
        self._layouts: OrderedDict[Hashable, _Layout] = OrderedDict()
        self._works = True

    def __call__(
        self,
        block: Block,
        x: Tensor,
        angles: Rotation,
        lengths: Sequence[int] | None,
        modulation: Change | None,
    ) -> Tensor:
        """Run a block over tokens `x`, [G, T, D] -> [G, T, D]."""

        def run() -> Tensor:
            return self._form(block, x, angles, lengths, modulation)

        if not isinstance(modulation, BlockModulation) or not self._fits(block, modulation):
            return run()
        layout = self._layout(x, angles, lengths, modulation)
        layout.visits += 1
        if layout.visits in _MEASURED:
            return self._measured(layout, run)
        if layout.visits < _MEASURED[0] or not layout.pays:
            return run()
        weights = _weights(block)
        if weights in layout.graphs and layout.room is not None:
            layout.room.fill(x, angles, modulation)
            layout.graphs[weights]()
            return layout.room.x.clone()
        right = run()
        if len(layout.graphs) >= _MOST:
            return right
        room = layout.room = layout.room or _room(x, angles, modulation)

        def work() -> None:
            out = self._form(block, room.x, room.angles, lengths, room.modulation)
            room.x.copy_(out)

        replay = self._recorded(work, lambda: room.fill(x, angles, modulation), room.x, right)
        if replay is not None:
            layout.graphs[weights] = replay
        return right

    def _fits(self, block: Block, modulation: BlockModulation) -> bool:
        return self._works and fits(block, modulation)

    def _layout(
        self,
        x: Tensor,
        angles: Rotation,
        lengths: Sequence[int] | None,
        modulation: BlockModulation,
    ) -> _Layout:
        """Return what is known of these shapes; those not seen for longest make room."""
        shapes = (x.shape, x.dtype, angles.cos.shape, modulation.attention_scale.shape)
        key = (*shapes, None if lengths is None else tuple(lengths))
        layout = self._layouts.setdefault(key, _Layout())
        self._layouts.move_to_end(key)
        if len(self._layouts) > _LAYOUTS:
            self._layouts.popitem(last=False)
        return layout

    def _measured(self, layout: _Layout, run: Callable[[], Tensor]) -> Tensor:
        """Run a block, and note whether launching it took longer than computing."""
        results: list[Tensor] = []
        times = self._recorder.seconds(lambda: results.append(run()))
        layout.pays = layout.pays and launches_dominate(*times)
        return results[0]

    def _recorded(self, work: Work, fill: Work, out: Tensor, right: Tensor) -> Work | None:
        """Record `work` and return its replay, if the first one gives the same as before."""
        try:
            fill()
            replay = attempt(lambda: self._recorder.record(work))
            fill()
            attempt(replay)
            same = torch.equal(out, right)
        except RuntimeError as error:
            self._leave()
            _log.warning("CUDA graphs failed and are left out: %s", in_one_line(error))
            return None
        if not same:
            self._leave()
            _log.warning("a CUDA graph gave other numbers; graphs are left out")
            return None
        return replay

    def _leave(self) -> None:
        """Let go of all graphs and their memory."""
        self._works = False
        self._layouts.clear()


def _weights(block: Block) -> Hashable:
    """Return where the weights of a block lie."""
    norms = (block.attention_norm1, block.attention_norm2, block.ffn_norm1, block.ffn_norm2)
    attention, feed = block.attention, block.feed_forward
    products = (attention.qkv, attention.out, feed.w13, feed.w2)
    parts = (*norms, attention.q_norm, attention.k_norm, *products)
    tensors = [t for part in parts for t in (*part._parameters.values(), *part._buffers.values())]
    return tuple((tensor.data_ptr(), tensor.dtype) for tensor in tensors if tensor is not None)
