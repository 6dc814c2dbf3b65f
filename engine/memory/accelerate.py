"""Makes a loaded transformer as fast as its device allows: attention, fused blocks, graphs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import cast

import torch

from engine.memory.forms import CompiledForm, FusedForm
from engine.memory.graphs import CudaRecorder, Graphs
from engine.model.attempt import attempt, in_one_line
from engine.model.attention import Attend, attention_name, choose_attention
from engine.model.layers import Block, BlockForm, plain
from engine.model.transformer import Transformer
from engine.quant.fused_block import Kernels
from engine.quant.linear import Int8Linear
from engine.quant.products import has_triton
from engine.settings import Attention

_log = logging.getLogger(__name__)

FUSED, COMPILED, GRAPHS = "fused blocks", "compiled blocks", "CUDA graphs"


@dataclass(frozen=True, slots=True)
class Options:
    """What may be taken. graphs: they hold memory of their own, as much as a block works in.

    compiled: the first picture of a size then takes up to a minute longer. attention: the kernel
    that is wanted.
    """

    fused: bool = True
    graphs: bool = True
    compiled: bool = False
    attention: Attention = Attention.AUTO


def accelerate(
    transformer: Transformer,
    device: torch.device,
    dtype: torch.dtype,
    *,
    is_base: bool,
    options: Options | None = None,
) -> tuple[str, ...]:
    """Give the blocks of a transformer their fastest form on `device`; return what was taken.

    dtype: that of tokens. is_base: the model is none of few steps. Forms prove themselves at the
    first block, and leave what fails then or later; graphs are recorded where launching turns out
    to take longer than computing. Other devices than CUDA's keep what they have.
    """
    wanted = options or Options()
    if device.type != "cuda":
        return (COMPILED,) if wanted.compiled and compile_block(transformer) else ()
    blocks = [part for part in transformer.modules() if isinstance(part, Block)]
    is_half = any(block.attention.in_half for block in blocks)
    attend = choose_attention(
        device,
        torch.float16 if is_half else dtype,
        transformer.config.head_dim,
        is_base=is_base,
        wanted=wanted.attention,
    )
    _attend_by(blocks, attend)
    taken = [attention_name(attend)]
    if wanted.compiled and compile_block(transformer):
        return (*taken, COMPILED)
    form: BlockForm = plain
    kernels = _kernels(transformer, device) if wanted.fused else None
    if kernels is not None:
        form = FusedForm(kernels)
        taken.append(FUSED)
    if wanted.graphs:
        form = Graphs(form, CudaRecorder(device))
        taken.append(GRAPHS)
    _form_by(transformer, form)
    return tuple(taken)


def compile_block(transformer: Transformer) -> bool:
    """Let the blocks that make pictures be compiled, at the first step of each size.

    Return whether a compiler is there; should it fail later, the blocks stay as they were.
    """
    try:
        form = attempt(CompiledForm)
    except RuntimeError as error:
        _log.info("this PyTorch cannot compile here: %s", in_one_line(error))
        return False
    _form_by(transformer, form)
    return True


def _attend_by(blocks: list[Block], attend: Attend) -> None:
    for block in blocks:
        block.attention.attend = attend


def _form_by(transformer: Transformer, form: BlockForm) -> None:
    """Set the form of all blocks but those of captions."""
    for block in (*transformer.noise_refiner, *transformer.layers):
        cast(Block, block).form = form


def _kernels(transformer: Transformer, device: torch.device) -> Kernels | None:
    """Return the kernels of a fused block, if Triton is there and serves the device."""
    if not has_triton(device):
        return None
    products = [part.product for part in transformer.modules() if isinstance(part, Int8Linear)]
    try:
        from engine.quant.fused_kernels import TritonKernels
        from engine.quant.triton_kernels import Fused, fused

        known = [product for product in products if isinstance(product, Fused)]
        if known or not products:
            return TritonKernels(known[0] if known else Fused())
        return TritonKernels(fused(device))
    except torch.OutOfMemoryError:
        raise
    except (ImportError, OSError, RuntimeError) as error:
        _log.info("fused blocks are not to be had on %s: %s", device, in_one_line(error))
        return None
