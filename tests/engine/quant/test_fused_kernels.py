"""The Triton kernels of a fused block give what PyTorch gives, and compile for every card."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.model.config import TransformerConfig
from engine.model.footprint import transformer_footprint
from engine.quant.fused_block import fused
from tests.engine.quant.plain_kernels import make_block, make_inputs

ROOT = Path(__file__).parents[3]
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)


def tried(*arguments: str, **environment: str) -> str:
    """Run the trials in a process of their own; return what went wrong."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.engine.quant.triton_trials", *arguments]
    done = subprocess.run(
        command, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.stderr if done.returncode else ""


@needs_triton
def test_blocks_are_right_in_the_interpreter_in_so_many_launches():
    assert tried("interpret", TRITON_INTERPRET="1") == ""


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 86, 89, 90, 120])
def test_every_kernel_compiles_for_cards_of_a_compute_capability(capability, tmp_path):
    assert tried("compile", str(capability), TRITON_CACHE_DIR=str(tmp_path)) == ""


@needs_triton
@pytest.mark.gpu
@pytest.mark.parametrize("int8", [False, True], ids=["plain", "int8"])
@pytest.mark.parametrize("tokens", [77, 1152, 4224])
@torch.inference_mode()
def test_a_block_of_the_true_width_is_right_on_a_card(int8, tokens):
    from engine.quant.fused_kernels import TritonKernels
    from engine.quant.triton_kernels import fused as product_of

    card, config = torch.device("cuda"), TransformerConfig()
    product = product_of(card)
    with card:
        block = make_block(
            int8=int8, dtype=torch.bfloat16, product=product, config=config, std=0.02
        )
        x, angles, modulation = make_inputs(1, tokens, 1, config=config, dtype=torch.bfloat16)
    angles = angles.to(card)
    fused(TritonKernels(product), block, x, modulation, angles, None)
    torch.cuda.reset_peak_memory_stats(card)
    there = torch.cuda.memory_allocated(card) - x.nbytes
    found = fused(TritonKernels(product), block, x, modulation, angles, None)
    needed = torch.cuda.max_memory_allocated(card) - there
    assert needed <= transformer_footprint(config, tokens, 1, 2, is_int8=int8) + 2**20
    expected = block(x, angles, None, modulation)
    off = (found - expected).float().norm(dim=-1) / (expected - x).float().norm(dim=-1)
    assert off.max() <= (0.06 if int8 else 0.03)
