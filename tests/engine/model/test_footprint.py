"""The memory that a forward works in, counted with tensors without numbers."""

from __future__ import annotations

import pytest
import torch

from engine.model.config import TransformerConfig
from engine.model.footprint import transformer_footprint
from engine.model.layers import Attention, Block
from engine.model.transformer import Transformer
from engine.quant.half import HalfLinear, make_half
from engine.quant.linear import Int8Linear, make_int8
from engine.quant.products import Integer
from engine.quant.recipe import BLOCK_LAYERS
from tests.engine.fake_memory import fake, peak_bytes, placed

CONFIG = TransformerConfig(n_layers=2, n_refiner_layers=1)
MIB = 2**20
CARD = "meta"
"""Takes the paths of a graphics card, on any machine."""

CAPTION = 128


def counted(
    device: str,
    side: int,
    sequences: int,
    *,
    dtype: torch.dtype = torch.bfloat16,
    is_int8: bool = False,
    captions: tuple[int, ...] = (),
) -> int:
    """Return the bytes of activations of one forward at the true width.

    dtype: float16 stands for such products between float32.
    """
    with fake():
        with torch.device("meta"):
            transformer = Transformer(CONFIG)
            if is_int8:
                names = (f"layers.{i}.{name}" for i in range(2) for name in BLOCK_LAYERS)
                make_int8(transformer, names, Integer())
            if dtype is torch.float16:
                blocks = [
                    name for name, part in transformer.named_modules() if isinstance(part, Block)
                ]
                make_half(
                    transformer, (f"{block}.{name}" for block in blocks for name in BLOCK_LAYERS)
                )
        is_half = dtype is torch.float16
        dtype = torch.float32 if is_half else dtype
        placed(transformer, dtype, device)
        for layer in transformer.modules():
            if isinstance(layer, Int8Linear):
                shape = (layer.out_features, layer.in_features)
                layer.prepared = torch.empty(shape, dtype=torch.int8, device=device)
                layer.scales = torch.empty(shape[0], device=device)
        for module in transformer.modules():
            if isinstance(module, HalfLinear):
                shape = (module.out_features, module.in_features)
                module.fill(torch.empty(shape, dtype=torch.float16, device=device))
            if isinstance(module, Attention):
                module.in_half = is_half
            if isinstance(module, Attention) and device == CARD:
                # As the kernels of cards do, which hold nothing but the result.
                module.attend = lambda q, _k, _v: torch.empty_like(q)
        cells = side // 8
        latents = torch.empty(sequences, 16, cells, cells, dtype=dtype, device=device)
        lengths = captions or (CAPTION,) * sequences
        told = [torch.empty(length, CONFIG.dim, dtype=dtype, device=device) for length in lengths]
        context = transformer.arrange(told, cells, cells)
        modulation = transformer.modulate(torch.empty(1, device=device))
        return peak_bytes(transformer, latents, modulation, context, kind=device)


def planned(side: int, sequences: int, item_bytes: int = 2, *, is_int8: bool = False) -> int:
    tokens = side * side // 256 + CAPTION
    return transformer_footprint(CONFIG, tokens, sequences, item_bytes, is_int8=is_int8)


@pytest.mark.parametrize("is_int8", [False, True], ids=["bf16", "int8"])
@pytest.mark.parametrize(("device", "sequences"), [("cpu", 1), (CARD, 1), (CARD, 2)])
def test_a_forward_at_1024_works_in_260_mib_a_sequence(device, sequences, is_int8, record_property):
    found = counted(device, 1024, sequences, is_int8=is_int8)
    record_property("MiB", found / MIB)
    assert found <= sequences * 260 * MIB
    assert found <= planned(1024, sequences, is_int8=is_int8)


FORMS = {
    "bf16": (torch.bfloat16, False),
    "int8": (torch.bfloat16, True),
    "fp32": (torch.float32, False),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("side", "sequences"), [(512, 1), (512, 4), (768, 1), (1024, 1), (1024, 2), (2048, 1)]
)
def test_the_footprint_is_never_less_than_counted_and_hardly_more(
    form, side, sequences, record_property
):
    dtype, is_int8 = FORMS[form]
    found = counted(CARD, side, sequences, dtype=dtype, is_int8=is_int8)
    told = planned(side, sequences, dtype.itemsize, is_int8=is_int8)
    record_property("counted MiB, told MiB, ratio", (found / MIB, told / MIB, told / found))
    assert found <= told <= 1.15 * found


@pytest.mark.parametrize(("side", "sequences"), [(512, 1), (1024, 1), (1024, 2), (2048, 1)])
def test_float16_between_float32_fits_the_footprint_of_float32_and_rounded_tokens(side, sequences):
    found = counted(CARD, side, sequences, dtype=torch.float16)
    assert found <= planned(side, sequences, 4, is_int8=True) <= 1.3 * found


def test_sequences_of_different_lengths_fit_the_footprint_of_the_longest():
    found = counted(CARD, 1024, 2, captions=(CAPTION, CAPTION - 64))
    assert found <= planned(1024, 2)
