"""What a block does between its products, in Triton: one kernel each, one program a token.

Needs the triton package, as `triton_kernels`, whose product they feed. All is computed in float32
and rounded once, when it is stored. Shapes in the kernels: rows [M, D], one after another.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.model.rope import Rotation
from engine.quant.fused_block import Norm, Tokens
from engine.quant.triton_kernels import Fused, round_row, warps_for


@triton.jit  # type: ignore[untyped-decorator]
def _normed(
    numbers: tl.tensor, weight: tl.tensor, columns: tl.tensor, inside: tl.tensor, side: tl.tuple
) -> tl.tensor:
    variance = tl.sum(numbers * numbers, axis=0) / side[0]
    known = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    return numbers * tl.rsqrt(variance + side[1]) * known


@triton.jit  # type: ignore[untyped-decorator]
def _store(
    numbers: tl.tensor, out: tl.tuple, columns: tl.tensor, inside: tl.tensor, side: tl.tuple
) -> None:
    row = tl.program_id(0).to(tl.int64)
    places = out[0] + row * side[0] + columns
    if out[0].dtype.element_ty == tl.int8:
        round_row(numbers, places, inside, out[1] + row)
    else:
        tl.store(places, numbers.to(out[0].dtype.element_ty), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _normalise(
    x: tl.tensor,
    norm: tl.tuple,
    out: tl.tuple,
    sides: tl.tuple,
    eps: tl.tensor,
    block: tl.constexpr,
) -> None:
    width = sides[0]
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, block)
    inside = columns < width
    numbers = tl.load(x + row * width + columns, mask=inside, other=0.0).to(tl.float32)
    normed = _normed(numbers, norm[0], columns, inside, (width, eps))
    scales = norm[1] + row // sides[1] * sides[2] + columns
    scaled = normed * tl.load(scales, mask=inside, other=0.0).to(tl.float32)
    _store(scaled, out, columns, inside, (width,))


@triton.jit  # type: ignore[untyped-decorator]
def _add(
    ins: tl.tuple, norms: tl.tuple, out: tl.tuple, sides: tl.tuple, eps: tl.tensor,
    block: tl.constexpr,
) -> None:  # fmt: skip
    width = sides[0]
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, block)
    inside = columns < width
    places = row * width + columns
    added = tl.load(ins[1] + places, mask=inside, other=0.0).to(tl.float32)
    normed = _normed(added, norms[0], columns, inside, (width, eps))
    gates = norms[1] + row // sides[1] * sides[2] + columns
    gate = tl.load(gates, mask=inside, other=0.0).to(tl.float32)
    numbers = tl.load(ins[0] + places, mask=inside, other=0.0).to(tl.float32)
    sums = (numbers + gate * normed).to(ins[1].dtype.element_ty)
    # What was added is not needed again: its place takes the sum.
    tl.store(ins[1] + places, sums, mask=inside)
    if len(norms) == 4:
        again = _normed(sums.to(tl.float32), norms[2], columns, inside, (width, eps))
        scales = norms[3] + row // sides[1] * sides[3] + columns
        scaled = again * tl.load(scales, mask=inside, other=0.0).to(tl.float32)
        _store(scaled, out, columns, inside, (width,))


@triton.jit  # type: ignore[untyped-decorator]
def _turn(
    qkv: tl.tensor, weights: tl.tuple, angles: tl.tuple, sides: tl.tuple, eps: tl.tensor,
    blocks: tl.constexpr,
) -> None:  # fmt: skip
    heads, head_dim, turns = sides[0], sides[1], sides[2]
    row = tl.program_id(0).to(tl.int64)
    which = tl.program_id(1)
    head = tl.arange(0, blocks[0])[:, None]
    pair = tl.arange(0, blocks[1])[None, :]
    inside = (head < heads) & (2 * pair < head_dim)
    first = qkv + (row * 3 + which) * heads * head_dim + head * head_dim + 2 * pair
    even = tl.load(first, mask=inside, other=0.0).to(tl.float32)
    odd = tl.load(first + 1, mask=inside, other=0.0).to(tl.float32)
    variance = tl.sum(even * even + odd * odd, axis=1) / head_dim
    factor = tl.rsqrt(variance + eps)[:, None]
    known = 2 * pair < head_dim
    for_even, for_odd = _pick(weights, which, 2 * pair, known)
    even, odd = even * factor * for_even, odd * factor * for_odd
    angle = row % turns * (head_dim // 2) + pair
    cos = tl.load(angles[0] + angle, mask=known, other=0.0)
    sin = tl.load(angles[1] + angle, mask=known, other=0.0)
    tl.store(first, (even * cos - odd * sin).to(qkv.dtype.element_ty), mask=inside)
    tl.store(first + 1, (even * sin + odd * cos).to(qkv.dtype.element_ty), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _pick(weights: tl.tuple, which: tl.tensor, place: tl.tensor, known: tl.tensor) -> tl.tuple:
    q_even = tl.load(weights[0] + place, mask=known, other=0.0).to(tl.float32)
    q_odd = tl.load(weights[0] + place + 1, mask=known, other=0.0).to(tl.float32)
    k_even = tl.load(weights[1] + place, mask=known, other=0.0).to(tl.float32)
    k_odd = tl.load(weights[1] + place + 1, mask=known, other=0.0).to(tl.float32)
    return tl.where(which == 0, q_even, k_even), tl.where(which == 0, q_odd, k_odd)


@triton.jit  # type: ignore[untyped-decorator]
def _gate(w13: tl.tensor, out: tl.tuple, sides: tl.tuple, block: tl.constexpr) -> None:
    width = sides[0]
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, block)
    inside = columns < width
    gates = w13 + row * 2 * width + columns
    gate = tl.load(gates, mask=inside, other=0.0).to(tl.float32)
    value = tl.load(gates + width, mask=inside, other=0.0).to(tl.float32)
    # The whole row was read before any of its places is written to.
    tl.debug_barrier()
    _store(gate * tl.sigmoid(gate) * value, out, columns, inside, (sides[1],))


class TritonKernels:
    """The steps of a fused block, each one launch; see `engine.quant.fused_block.Kernels`.

    Triton launches on the current card, so that of the tensors is made it.
    """

    def __init__(self, product: Fused) -> None:
        self._product = product

    def normalise(self, x: Tensor, norm: Norm, *, rounds: bool) -> Tokens:
        """Normalise and scale `x`, [G, T, D] -> [G·T, D]."""
        out = _room(x, rounds=rounds)
        sides = (x.shape[-1], x.shape[-2], _stride(norm.factor))
        block = triton.next_power_of_2(x.shape[-1])
        known = (norm.weight, norm.factor)
        with torch.cuda.device_of(x):
            _normalise[(len(out.values),)](
                x, known, _places(out), sides, norm.eps, block=block, num_warps=warps_for(block)
            )
        return out

    def quantise(self, x: Tensor) -> Tokens:
        """Round tokens `x` [M, D] to int8."""
        return Tokens(*self._product.quantise(x))

    def multiply(self, tokens: Tokens, weight: tuple[Tensor, Tensor], out: Tensor) -> None:
        """Multiply rounded tokens [M, K] by a weight, int8 [N, K] and scales [N], into [M, N]."""
        if tokens.scales is None:
            raise TypeError("these tokens are not rounded")
        self._product.product((tokens.values, tokens.scales), weight, out)

    def turn(
        self, qkv: Tensor, weights: tuple[Tensor, Tensor], eps: float, angles: Rotation
    ) -> None:
        """Normalise and rotate queries and keys of `qkv`, [M, 3, heads, head_dim], in place."""
        heads, head_dim = qkv.shape[-2:]
        cos, sin = angles.cos.contiguous(), angles.sin.contiguous()
        sides = (heads, head_dim, cos.shape[0] * cos.shape[1])
        blocks = (triton.next_power_of_2(heads), triton.next_power_of_2(head_dim) // 2)
        with torch.cuda.device_of(qkv):
            _turn[(len(qkv), 2)](qkv, weights, (cos, sin), sides, eps, blocks=blocks, num_warps=4)

    def add(self, x: Tensor, change: Tensor, gate: Norm) -> None:
        """Add the gated norm of `change` to `x`, both [G, T, D]; the sum replaces `change`."""
        self._add(x, change, gate, None, ())

    def add_and_normalise(
        self, x: Tensor, change: Tensor, gate: Norm, norm: Norm, *, rounds: bool
    ) -> Tokens:
        """Do as `add`, and return the sum normalised and scaled, [G·T, D]."""
        out = _room(x, rounds=rounds)
        self._add(x, change, gate, norm, _places(out))
        return out

    def _add(
        self, x: Tensor, change: Tensor, gate: Norm, norm: Norm | None, out: tuple[Tensor, ...]
    ) -> None:
        width = x.shape[-1]
        known: tuple[Tensor, ...] = (gate.weight, gate.factor)
        sides: tuple[int, ...] = (width, x.shape[-2], _stride(gate.factor))
        if norm is not None:
            known += (norm.weight, norm.factor)
            sides += (_stride(norm.factor),)
        block = triton.next_power_of_2(width)
        with torch.cuda.device_of(x):
            _add[(x.numel() // width,)](
                (x, change), known, out, sides, gate.eps, block=block, num_warps=warps_for(block)
            )

    def swiglu(self, w13: Tensor, *, rounds: bool) -> Tokens:
        """Return silu(gate) · value of `w13` [M, 2F], in the place of the gate, [M, F]."""
        width = w13.shape[-1] // 2
        values = (w13.view(torch.int8) if rounds else w13)[:, :width]
        scales = torch.empty(len(w13), device=w13.device) if rounds else None
        block = triton.next_power_of_2(width)
        out = Tokens(values, scales)
        with torch.cuda.device_of(w13):
            _gate[(len(w13),)](
                w13,
                _places(out),
                (width, values.stride(0)),
                block=block,
                num_warps=warps_for(block),
            )
        return out


def _places(tokens: Tokens) -> tuple[Tensor, ...]:
    return (tokens.values,) if tokens.scales is None else (tokens.values, tokens.scales)


def _room(x: Tensor, *, rounds: bool) -> Tokens:
    """Return room for the tokens of `x`, [..., D] -> [M, D]."""
    count = x.numel() // x.shape[-1]
    dtype = torch.int8 if rounds else x.dtype
    values = torch.empty(count, x.shape[-1], dtype=dtype, device=x.device)
    return Tokens(values, torch.empty(count, device=x.device) if rounds else None)


def _stride(part: Tensor) -> int:
    """Return how far the rows of [S, 1, D] lie apart; 0 where one serves all sequences."""
    return part.stride(0) if len(part) > 1 else 0
