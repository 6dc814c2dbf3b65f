"""Ways to multiply tokens by int8 weights; `choose` takes the fastest that computes right.

All but the last round the tokens to int8 as well, each token with a scale of its own: what is
multiplied and summed are whole numbers, without error.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Final, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.model.attempt import attempt
from engine.quant.rows import LARGEST, SHIFT, whole_tokens

_log = logging.getLogger(__name__)

_MULTIPLE: Final = 8
_FEWEST_TOKENS: Final = 32
"""What cuBLAS demands of the sides of int8 matrices."""

_TOKENS_AT_ONCE: Final = 256
"""The sums of so many tokens, 32 bits each, are in memory at once."""

_NUMBERS_AT_ONCE: Final = 2**23
"""So much of a weight is in memory as floating point at once."""

_TRITON_CAPABILITY: Final = (8, 0)

_TRIAL_TOKENS: Final = 1024

_TRIALS: Final = 4


class Product(Protocol):
    """A way to multiply by an int8 matrix, in the layout that it needs."""

    def prepare(self, values: Tensor) -> Tensor:
        """Lay out `values`, int8 [N, K], for `multiply`."""
        ...

    def restore(self, prepared: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return the int8 matrix [N, K] of this shape that `prepared`, int8 [...], was made of."""
        ...

    def multiply(self, x: Tensor, prepared: Tensor, scales: Tensor) -> Tensor:
        """Return x · weightᵀ, [T, N] in the type of `x` [T, K]; `scales` float32 [N]."""
        ...


class Packed:
    """oneDNN's product on the CPU, with weights laid out for it once."""

    def prepare(self, values: Tensor) -> Tensor:
        """Lay out `values`, int8 [N, K], as oneDNN wants it: an opaque tensor."""
        packed: Tensor = torch.ops.onednn.qlinear_prepack(values, None)
        return packed

    def restore(self, prepared: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return the int8 matrix [N, K] of this shape that `prepared` (opaque) was made of."""
        return prepared.to_dense().t().reshape(shape)

    def multiply(self, x: Tensor, prepared: Tensor, scales: Tensor) -> Tensor:
        """Return x · weightᵀ, [T, N] in the type of `x` [T, K]; `scales` float32 [N]."""
        shifted, token_scales = whole_tokens(x)
        zeros = torch.zeros(len(scales), dtype=torch.int32)
        out: Tensor = torch.ops.onednn.qlinear_pointwise(
            shifted, 1.0, SHIFT, prepared, scales, zeros, None, 1.0, 0, x.dtype, "none", [], ""
        )
        return out.mul_(token_scales)


class Integer:
    """PyTorch's integer product, on CUDA cards with tensor cores and on the CPU."""

    def prepare(self, values: Tensor) -> Tensor:
        """Pad `values`, int8 [N, K], to sides that are multiples of 8."""
        rows, columns = values.shape
        return F.pad(values, (0, -columns % _MULTIPLE, 0, -rows % _MULTIPLE)).contiguous()

    def restore(self, prepared: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return the int8 matrix [N, K] of this shape at the corner of `prepared`, [N', K']."""
        return prepared[: shape[0], : shape[1]]

    def multiply(self, x: Tensor, prepared: Tensor, scales: Tensor) -> Tensor:
        """Return x · weightᵀ, [T, N] in the type of `x` [T, K]; `scales` float32 [N]."""
        out = x.new_empty(len(x), len(scales))
        for some, place in zip(x.split(_TOKENS_AT_ONCE), out.split(_TOKENS_AT_ONCE), strict=True):
            shifted, token_scales = whole_tokens(some)
            sums = _sums(shifted.bitwise_xor_(SHIFT).view(torch.int8), prepared)
            # Rounded where oneDNN rounds, so that both compute the same to the bit.
            place.copy_(sums[: len(some), : len(scales)].float().mul_(scales)).mul_(token_scales)
        return out


def _sums(tokens: Tensor, weight: Tensor) -> Tensor:
    """Multiply int8 tokens [T, K] by a padded weight [N', K'], -> int32 [T or more, N']."""
    missing = max(0, _FEWEST_TOKENS - len(tokens)) or -len(tokens) % _MULTIPLE
    padded = F.pad(tokens, (0, weight.shape[1] - tokens.shape[1], 0, missing))
    return torch._int_mm(padded, weight.t())


class WeightOnly:
    """The exact product: nothing but the weights is rounded. Slower than bfloat16."""

    def prepare(self, values: Tensor) -> Tensor:
        """Return `values`, int8 [N, K], as they are."""
        return values

    def restore(self, prepared: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return `prepared`, int8 [N, K], as it is."""
        return prepared.reshape(shape)

    def multiply(self, x: Tensor, prepared: Tensor, scales: Tensor) -> Tensor:
        """Return x · weightᵀ, [T, N] in the type of `x` [T, K]; `scales` float32 [N].

        Whole numbers up to 127 are exact in every number type, so the scales can follow the sum.
        """
        out = x.new_empty(len(x), len(prepared))
        rows = max(1, _NUMBERS_AT_ONCE // max(1, prepared.shape[1]))
        for some, place in zip(prepared.split(rows), out.split(rows, dim=1), strict=True):
            place.copy_(F.linear(x, some.to(x.dtype)))
        return out.mul_(scales)


WEIGHT_ONLY: Final[Product] = WeightOnly()


def choose(device: torch.device, *, movable: bool = False) -> Product:
    """Return the fastest product that computes right on `device`, found by trying.

    movable: only one whose weights lie in plain bytes, which may be copied from place to place.
    """
    right = [product for product in working(device) if not movable or _is_movable(product)]
    if device.type == "cuda" and len(right) > 1:
        right.sort(key=lambda product: _seconds(product, device))
    return right[0] if right else WEIGHT_ONLY


def working(device: torch.device) -> tuple[Product, ...]:
    """Return the products that round tokens too and compute right on `device`."""
    return tuple(product for product in _candidates(device) if _computes_right(product, device))


def has_triton(device: torch.device) -> bool:
    """Say whether Triton knows a card: on an older one it may end the process, past all handlers.

    It need not be installed.
    """
    if device.type != "cuda":
        return False
    is_amds = torch.version.hip is not None
    return is_amds or torch.cuda.get_device_capability(device) >= _TRITON_CAPABILITY


def product_name(product: Product) -> str:
    """Return what to call a product."""
    if isinstance(product, WeightOnly):
        return "weights only"
    makers = {Packed: "oneDNN", Integer: "PyTorch"}
    return f"{makers.get(type(product), 'Triton')} int8"


def _is_movable(product: Product) -> bool:
    return not isinstance(product, Packed)


def _candidates(device: torch.device) -> tuple[Product, ...]:
    """List what may work on a device; on the CPU the fastest first."""
    if device.type == "cpu":
        return Packed(), Integer()
    if device.type != "cuda":
        return ()
    if not has_triton(device):
        return (Integer(),)
    try:
        from engine.quant.triton_kernels import fused

        return fused(device), Integer()
    except torch.OutOfMemoryError:
        raise
    except (ImportError, OSError, RuntimeError) as error:
        _log.info("the fused product is not to be had on %s: %s", device, error)
        return (Integer(),)


def _seconds(product: Product, device: torch.device) -> float:
    """Return how long a product of usual size takes on a CUDA card, the best of a few."""
    x = torch.ones(_TRIAL_TOKENS, 4096, dtype=torch.float16, device=device)
    prepared = product.prepare(torch.ones(4096, 4096, dtype=torch.int8, device=device))
    scales = torch.ones(4096, device=device)
    times = []
    for _ in range(_TRIALS):
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        product.multiply(x, prepared, scales)
        torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times)


def _computes_right(product: Product, device: torch.device) -> bool:
    """Try a product on the largest numbers: processors of old overflow in 16 bits there.

    A card that is full says nothing of a product, so that is raised.
    """
    generator = torch.Generator().manual_seed(0)
    values = torch.full((64, 512), LARGEST, dtype=torch.int8)
    values[32:] = torch.randint(-LARGEST, LARGEST + 1, (32, 512), generator=generator)
    tokens = torch.full((48, 512), float(LARGEST))
    tokens[16:] = torch.randint(-LARGEST, LARGEST + 1, (32, 512), generator=generator)
    tokens[:, 0] = LARGEST
    expected = tokens.double() @ values.double().t()
    scales = torch.ones(64, device=device)
    try:
        prepared = product.prepare(values.to(device))
        multiplied = attempt(partial(product.multiply, tokens.to(device), prepared, scales))
        found = multiplied.cpu().double()
        kept = torch.equal(product.restore(prepared, (64, 512)).cpu(), values)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AttributeError) as error:
        _log.info("%s is not to be had on %s: %s", type(product).__name__, device, error)
        return False
    right = kept and bool(((found - expected).abs() <= 1e-5 * expected.abs() + 1).all())
    if not right:
        _log.warning("%s computes wrongly on %s and is left out", type(product).__name__, device)
    return right
