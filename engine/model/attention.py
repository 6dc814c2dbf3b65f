"""The door of attention: which kernel mixes the tokens of a sequence, chosen by proof.

PyTorch's own is always there. Others are taken where the user has them installed, compute the same
and are clearly faster; one that fails later is left for good, and the work goes on.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine.model.attempt import attempt, in_one_line
from engine.settings import Attention

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Softmax attention of q, k, v within each row, [G, T, heads, head_dim] -> the same shape."""

_log = logging.getLogger(__name__)

_HEADS: Final = 8
_LENGTHS: Final = (1021, 4224)
"""Lengths of the trial; the last one, of a picture of 1024 x 1024 pixels, is timed."""

_EXACT: Final = 1e-2
_APPROXIMATE: Final = 5e-2
"""How far a kernel may be off, as a part of the result: bfloat16 rounds by about 4e-3."""

_CLEARLY: Final = 0.9
"""What part of the time of PyTorch's own a kernel may take at most to be taken."""

_TRIALS: Final = 5
_REPEATS: Final = 4
FAMILIES: Final[Mapping[Attention, str]] = MappingProxyType(
    {
        Attention.CUDNN: "SDPA, cuDNN",
        Attention.FLASH: "FlashAttention",
        Attention.SAGE: "SageAttention",
    }
)
"""How the names of the kernels begin that a user can ask for."""

_HALVES: Final = (torch.float16, torch.bfloat16)


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend with PyTorch's own kernel: three [G, T, heads, head_dim] -> the same shape."""
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def _cudnn(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend with cuDNN, which PyTorch brings but does not always prefer."""
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return sdpa(q, k, v)


class Checked:
    """A kernel beside PyTorch's own; where it fails, PyTorch's own serves from then on."""

    def __init__(self, name: str, attend: Attend, bound: float = _EXACT) -> None:
        self.name = name
        self.bound = bound
        self.attend = attend
        self.works = True

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend: three [G, T, heads, head_dim] -> the same shape."""
        if not self.works:
            return sdpa(q, k, v)
        try:
            return attempt(lambda: self.attend(q, k, v))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            _log.warning("%s failed and is left out from now on: %s", self.name, in_one_line(error))
            self.works = False
            return sdpa(q, k, v)


class _Library(NamedTuple):
    """A package with an attention function, and how it wants to be called."""

    name: str
    package: str
    function: str
    keywords: tuple[tuple[str, str], ...] = ()
    bound: float = _EXACT


_FLASH: Final = (
    _Library("FlashAttention 3", "flash_attn_interface", "flash_attn_func"),
    _Library("FlashAttention 2", "flash_attn", "flash_attn_func"),
)
_SAGE: Final = _Library(
    "SageAttention (approximate)",
    "sageattention",
    "sageattn",
    (("tensor_layout", "NHD"),),
    _APPROXIMATE,
)


def installed(*, is_base: bool) -> list[Checked]:
    """Return the kernels of packages that the user has installed.

    is_base: the model is none of few steps; SageAttention is known to spoil such pictures.
    """
    found = []
    for library in _FLASH if is_base else (*_FLASH, _SAGE):
        if importlib.util.find_spec(library.package) is None:
            continue
        attend = _imported(library)
        if attend is not None:
            found.append(Checked(library.name, attend, library.bound))
    return found


def _imported(library: _Library) -> Attend | None:
    """Import the function of a package, or say why that cannot be."""
    try:
        function = getattr(importlib.import_module(library.package), library.function)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        _log.warning("%s is installed but does not load: %s", library.name, in_one_line(error))
        return None

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        result = function(q, k, v, **dict(library.keywords))
        # Some releases also return the logarithms of the sums.
        out: Tensor = result[0] if isinstance(result, tuple) else result
        return out

    return attend


@dataclass(frozen=True, slots=True)
class Trial:
    """Where and in what shape kernels are compared; of the lengths the last one is timed."""

    device: torch.device
    dtype: torch.dtype
    head_dim: int
    lengths: Sequence[int] = _LENGTHS

    def draw(self, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw queries, keys and values, as strided as a block has them."""
        generator = torch.Generator().manual_seed(length)
        shape = (1, length, 3, _HEADS, self.head_dim)
        drawn = torch.randn(shape, generator=generator).to(self.device, self.dtype)
        q, k, v = drawn.unbind(2)
        return q, k, v


def choose_attention(
    device: torch.device,
    dtype: torch.dtype,
    head_dim: int,
    *,
    is_base: bool,
    wanted: Attention = Attention.AUTO,
) -> Attend:
    """Return the fastest attention that computes right on `device`; `dtype` is that of queries.

    is_base: the model is none of few steps, for which approximations are known to fail. wanted:
    the user's choice, taken at any speed where it is there and computes right.
    """
    if device.type != "cuda" or dtype not in _HALVES or wanted is Attention.PYTORCH:
        return sdpa
    kernels = [Checked("SDPA, cuDNN", _cudnn), *installed(is_base=is_base)]
    trial = Trial(device, dtype, head_dim)
    if wanted is Attention.AUTO:
        return best(kernels, trial)
    return asked_for(wanted, kernels, trial)


def asked_for(wanted: Attention, kernels: Sequence[Checked], trial: Trial) -> Attend:
    """Return the first kernel of a family that agrees with PyTorch's own, else that."""
    family = [kernel for kernel in kernels if kernel.name.startswith(FAMILIES[wanted])]
    found = next((kernel for kernel in family if _agrees(kernel, trial)), None)
    if found is None:
        _log.warning("%s is not to be had here; PyTorch's own is used", FAMILIES[wanted])
    return found or sdpa


def best(kernels: Sequence[Checked], trial: Trial) -> Attend:
    """Return the fastest kernel that agrees with PyTorch's own and is clearly faster."""
    right = [kernel for kernel in kernels if _agrees(kernel, trial)]
    if not right:
        return sdpa
    inputs = trial.draw(trial.lengths[-1])
    contestants: list[Attend] = [sdpa, *right]
    times = [float("inf")] * len(contestants)
    # In turns, so that a busy moment falls on all of them.
    for _ in range(_TRIALS):
        for place, attend in enumerate(contestants):
            times[place] = min(times[place], _seconds(attend, inputs))
    for attend, seconds in zip(contestants, times, strict=True):
        _log.info("attention: %s takes %.3f ms", attention_name(attend), 1000 * seconds)
    fastest = min(range(len(contestants)), key=times.__getitem__)
    return contestants[fastest] if times[fastest] <= _CLEARLY * times[0] else sdpa


def attention_name(attend: Attend) -> str:
    """Return what to call an attention: the name of its kernel."""
    return attend.name if isinstance(attend, Checked) and attend.works else "SDPA"


def _agrees(kernel: Checked, trial: Trial) -> bool:
    """Say whether a kernel computes what PyTorch's own does at every length of the trial."""
    for length in trial.lengths:
        q, k, v = trial.draw(length)
        try:
            found = attempt(partial(kernel.attend, q, k, v))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            _log.info(
                "%s is not to be had on %s: %s", kernel.name, trial.device, in_one_line(error)
            )
            return False
        off = _error(found, sdpa(q, k, v))
        # Not a number is not small either.
        if not off <= kernel.bound:
            _log.warning("%s is off by %.2g and is left out", kernel.name, off)
            return False
    return True


def _error(found: Tensor, right: Tensor) -> float:
    """Return how far a result is off, as a part of its size; infinite for another shape."""
    if found.shape != right.shape:
        return float("inf")
    return float((found.float() - right.float()).norm() / right.float().norm())


def _seconds(attend: Attend, inputs: tuple[Tensor, Tensor, Tensor]) -> float:
    """Return how long a kernel takes a few times in a row."""
    _wait(inputs[0].device)
    began = time.perf_counter()
    for _ in range(_REPEATS):
        attend(*inputs)
    _wait(inputs[0].device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
