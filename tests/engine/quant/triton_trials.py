"""What is tried of the Triton kernels in a process of its own, which has Triton as it is needed.

`interpret`: they run without a card and give what PyTorch gives, in so many launches.
`compile 90`: they compile for cards of a compute capability.
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.interpreter import GridExecutor
from triton.runtime.jit import JITFunction

from engine.model.config import TransformerConfig
from engine.model.rope import Rotation
from engine.quant.fused_block import Norm, fused
from engine.quant.fused_kernels import TritonKernels
from engine.quant.triton_kernels import Fused
from tests.engine.quant.plain_kernels import make_block, make_inputs

WIDE = TransformerConfig(dim=384, n_heads=3)
CASES = {
    "one": (1, 37, 1, 1, None),
    "two at a time": (2, 32, 1, 1, None),
    "two at their own times and places": (2, 32, 2, 2, None),
    "ragged": (1, 40, 1, 1, (17, 23)),
}
MOST_LAUNCHES = {"int8": 11, "plain": 10}


class Launches(TorchDispatchMode):
    """Counts kernels: Triton's, and PyTorch's operations that compute or copy."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self._inside = False

    def __enter__(self):
        self._original = GridExecutor.__call__
        GridExecutor.__call__ = lambda *a, **k: self._launch(*a, **k)
        return super().__enter__()

    def __exit__(self, *error):
        GridExecutor.__call__ = self._original
        return super().__exit__(*error)

    def _launch(self, executor, *arguments, **keywords):
        self.names.append(executor.fn.__name__)
        # The interpreter copies tensors to and fro, which a card does not.
        self._inside = True
        self._original(executor, *arguments, **keywords)
        self._inside = False

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        is_room = "empty" in str(function)
        if not (self._inside or function.is_view or is_room):
            self.names.append(str(function))
        return function(*arguments, **(keywords or {}))


def attend(q, k, v):
    """Attend as on a card, in one launch."""
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def try_block(case: tuple, kind: str, config: TransformerConfig, dtype: torch.dtype) -> None:
    groups, tokens, times, places, lengths = case
    block = make_block(int8=kind == "int8", dtype=dtype, product=Fused(), config=config, std=0.1)
    block.attention.attend = attend
    x, angles, modulation = make_inputs(
        groups, tokens, times, config=config, dtype=dtype, places=places
    )
    kernels = TritonKernels(Fused())
    with Launches() as launches:
        found = fused(kernels, block, x, modulation, angles, lengths)
    expected = block(x, angles, lengths, modulation)
    off = (found - expected).float().norm() / (expected - x).float().norm()
    # The interpreter cuts bfloat16 off where a card rounds it.
    assert off <= (1e-4 if dtype is torch.float32 else 0.04), off
    if lengths is None:
        assert len(launches.names) == MOST_LAUNCHES[kind], launches.names
    assert len(launches.names) <= 14, launches.names


def spoil() -> None:
    """A token that is not finite spoils itself, and no other but through attention."""
    kernels = TritonKernels(Fused())
    x, _, modulation = make_inputs(1, 5, 1)
    x[0, 3, 2] = float("nan")
    norm = Norm(torch.ones(x.shape[-1]), modulation.attention_scale, 1e-5)
    scales = kernels.normalise(x, norm, rounds=True).scales
    assert scales.isfinite().tolist() == [True, True, True, False, True]
    hidden = torch.randn(4, 64)
    hidden[1, 40] = float("inf")
    assert not kernels.swiglu(hidden, rounds=True).scales.isfinite()[1]


def interpret() -> None:
    torch.manual_seed(0)
    for case in CASES.values():
        for kind in MOST_LAUNCHES:
            config = TransformerConfig(dim=48, n_heads=2, axes_dims=(8, 8, 8))
            try_block(case, kind, config, torch.float32)
    for kind in MOST_LAUNCHES:
        try_block(CASES["one"], kind, WIDE, torch.bfloat16)
    spoil()


class Card:
    """Stands for a card that is only compiled for."""

    def __init__(self, capability: int) -> None:
        self.capability = capability

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.capability, 32)


def compile_all(capability: int) -> None:
    """Launch every kernel at the true shapes, compiling only."""
    driver.set_active(Card(capability))
    original = JITFunction.run
    compiled = set()

    def run(self, *arguments, grid, warmup, **keywords):
        kernel = original(self, *arguments, grid=grid, warmup=True, **keywords)
        assert kernel.asm["cubin"]
        compiled.add(self.__name__)
        return kernel

    JITFunction.run = run
    config, tokens = TransformerConfig(), 64
    width, half = config.dim, torch.bfloat16
    kernels = TritonKernels(Fused())
    x = torch.empty(1, tokens, width, dtype=half)
    norm = Norm(torch.empty(width, dtype=half), torch.empty(1, 1, width, dtype=half), 1e-5)
    for rounds in (True, False):
        kernels.normalise(x, norm, rounds=rounds)
        kernels.add_and_normalise(x, x, norm, norm, rounds=rounds)
        kernels.swiglu(torch.empty(tokens, 2 * config.ffn_dim, dtype=half), rounds=rounds)
    kernels.add(x, x, norm)
    weight = torch.empty(3 * width, width, dtype=torch.int8), torch.empty(3 * width)
    kernels.multiply(kernels.quantise(x[0]), weight, torch.empty(tokens, 3 * width, dtype=half))
    angles = torch.empty(1, tokens, 1, config.head_dim // 2)
    qkv = torch.empty(tokens, 3, config.n_heads, config.head_dim, dtype=half)
    weights = (torch.empty(config.head_dim, dtype=half),) * 2
    kernels.turn(qkv, weights, 1e-5, Rotation(angles, angles))
    assert len(compiled) == 6, compiled


if __name__ == "__main__":
    with torch.inference_mode():
        interpret() if sys.argv[1] == "interpret" else compile_all(int(sys.argv[2]))
