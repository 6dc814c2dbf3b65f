"""Faster forms of a block, each with the plain one to fall back on.

A form is taken for a kind of block once it has computed the same as the plain one there, and
faster. What fails later is left for good, and the job goes on; a shortage of memory is passed on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from engine.memory.shortage import is_device_lost, is_out_of_memory
from engine.model.attempt import attempt, in_one_line
from engine.model.layers import Block, BlockForm, BlockModulation, Change, plain
from engine.model.rope import Rotation
from engine.quant.fused_block import Kernels, fits, fused
from engine.quant.linear import Int8Linear

_log = logging.getLogger(__name__)

_TOKENS: Final = 255
_BOUND, _INT8_BOUND = 0.05, 0.1
"""How far the worst token may be off, as a part of what the block adds to it."""

_SMALLEST: Final = 0.02
"""Part of their size that random tokens keep at least: norms give way below 0.003."""

_TRIALS: Final = 3
_EVEN: Final = 1.05
"""A form is slower where it takes this much more: less is chance, and must not decide."""


class FusedForm:
    """The fused form of a transformer's blocks, for those kinds of them on which it proved right.

    A kind is proved with random tokens, and timed with those of the job.
    """

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self._verdicts: dict[_Kind, bool] = {}
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
        if not isinstance(modulation, BlockModulation) or not self._fits(block, modulation):
            return plain(block, x, angles, lengths, modulation)

        def fast() -> Tensor:
            return fused(self._kernels, block, x, modulation, angles, lengths)

        def slow() -> Tensor:
            return plain(block, x, angles, lengths, modulation)

        kind = _kind(block, x)
        if kind not in self._verdicts:
            self._verdicts[kind] = self._is_right(block, x) and _is_faster(fast, slow, x.device)
        if not self._verdicts[kind]:
            return slow()
        try:
            return attempt(fast)
        except RuntimeError as error:
            self._works = False
            report(error, "the fused form of blocks")
            return slow()

    def _fits(self, block: Block, modulation: BlockModulation) -> bool:
        return self._works and fits(block, modulation)

    def _is_right(self, block: Block, x: Tensor) -> bool:
        """Say whether a block gives the same in both forms; tokens are of the type of `x`."""
        try:
            off = attempt(lambda: _worst(self._kernels, block, x))
        except RuntimeError as error:
            report(error, "the fused form of blocks")
            return False
        bound = _INT8_BOUND if _is_int8(block) else _BOUND
        # Not a number is not small either.
        if not off <= bound:
            _log.warning("the fused form of blocks is off by %.2g and is left out", off)
            return False
        return True


class CompiledForm:
    """The plain form of a block, compiled: one program for all blocks of a shape of tokens.

    Captions, of other lengths and not modulated, are none of its business: a program tuned to them
    would be slow on pictures.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self._compiled: BlockForm = torch.compile(plain, dynamic=False, backend=backend)
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
        inputs = (block, x, angles, lengths, modulation)
        if not self._works or not fits(block, modulation):
            return plain(*inputs)
        try:
            return attempt(lambda: self._compiled(*inputs))
        except RuntimeError as error:
            self._works = False
            report(error, "the compiled form of blocks")
            return plain(*inputs)


def report(error: RuntimeError, what: str) -> None:
    """Log that something is left out; raise a shortage of memory or the loss of a device."""
    if is_out_of_memory(error) or is_device_lost(error):
        raise error
    _log.warning("%s failed and is left out: %s", what, in_one_line(error))


class _Kind(NamedTuple):
    layers: tuple[type, ...]
    dtype: torch.dtype
    width: int


def _kind(block: Block, x: Tensor) -> _Kind:
    attention, feed = block.attention, block.feed_forward
    layers = (attention.qkv, attention.out, feed.w13, feed.w2)
    return _Kind(tuple(map(type, layers)), x.dtype, x.shape[-1])


def _is_int8(block: Block) -> bool:
    return any(isinstance(layer, Int8Linear) for layer in block.modules())


def _worst(kernels: Kernels, block: Block, like: Tensor) -> float:
    """Return how far the worst of some random tokens is off, as a part of what the block adds."""
    generator = torch.Generator().manual_seed(0)
    dim, half = like.shape[-1], block.attention.head_dim // 2

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    x = draw(2, _TOKENS, dim).to(like)
    turns = 10 * draw(2, _TOKENS, 1, half).to(like.device)
    angles = Rotation(turns.cos(), turns.sin())
    table = (1 + 0.3 * draw(2, 1, 4 * dim)).to(like)
    modulation = BlockModulation(*table.chunk(4, dim=-1))
    added = plain(block, x, angles, None, modulation).float() - x.float()
    # A block is blind to the size of tokens; of those much larger than what it adds, rounding the
    # sum would be all that is seen.
    x = x * (added.norm() / x.float().norm()).clamp(_SMALLEST, 1).to(x.dtype)
    found = fused(kernels, block, x, modulation, angles, None).float()
    right = plain(block, x, angles, None, modulation).float()
    off = (found - right).norm(dim=-1) / (right - x.float()).norm(dim=-1)
    return float(off.max())


def _is_faster(
    fast: Callable[[], Tensor], slow: Callable[[], Tensor], device: torch.device
) -> bool:
    """Say which of two forms takes less time, run in turns."""
    forms, times = (fast, slow), [float("inf")] * 2
    try:
        for _ in range(_TRIALS):
            for place, form in enumerate(forms):
                times[place] = min(times[place], _seconds(form, device))
    except RuntimeError as error:
        report(error, "the fused form of blocks")
        return False
    _log.info("a block takes %.2f ms fused, %.2f ms plain", *(1000 * each for each in times))
    return times[0] <= _EVEN * times[1]


def _seconds(form: Callable[[], Tensor], device: torch.device) -> float:
    _wait(device)
    began = time.perf_counter()
    attempt(form)
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
