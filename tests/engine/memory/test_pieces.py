"""What the weights of a model are to the memory."""

from __future__ import annotations

import subprocess
import sys
from itertools import groupby
from math import prod

import pytest
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from engine.checkpoints.convert import Conversion, convert
from engine.checkpoints.load import load_transformer
from engine.checkpoints.open import open_model
from engine.lora.file import read_lora
from engine.lora.match import match
from engine.memory.ledger import Numbers, stored_int8
from engine.memory.pieces import ALIGNMENT, PARTS, Tour, model_sizes, sizes_of, slab_bytes
from engine.memory.work import TOKEN_MULTIPLE
from engine.model.shapes import text_encoder_shapes, transformer_shapes, vae_shapes
from engine.model.transformer import SEQUENCE_MULTIPLE
from engine.model.vae import Vae
from engine.quant.recipe import text_encoder_layers, transformer_layers
from engine.request import Precision
from tests.architecture.sources import ROOT
from tests.engine.memory.true_sizes import BF16, EVERY, FP32, INT8, OLD_INT8, PUBLIC, QWEN3, sizes

MODULES = ("pieces", "plan", "forecast", "budget", "residency", "backing", "profiles")


def by_name(found):
    return {piece.name: piece for piece in found.pieces}


def total(found, tour):
    return sum(piece.bytes for piece in found.tour(tour))


@pytest.mark.parametrize("name", MODULES)
def test_planning_leaves_torch_alone(name):
    program = f"import sys, engine.memory.{name}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_every_tensor_of_a_slab_begins_where_kernels_like_it():
    assert slab_bytes([((3, 5), 1), ((3,), 4)]) == 2 * ALIGNMENT
    assert slab_bytes([((ALIGNMENT,), 1), ((ALIGNMENT + 1,), 2)]) == ALIGNMENT * (1 + 3)
    assert slab_bytes([]) == 0


def test_the_int8_model_has_the_sizes_that_are_known_of_it():
    found = sizes(INT8)
    assert len(found.tour(Tour.READ)) == 35
    assert total(found, Tour.READ) == pytest.approx(3.53e9, rel=0.005)
    assert by_name(found)["transformer.layers.15"].bytes == pytest.approx(176.9e6, rel=0.002)
    dim, inner = 3840, 10240
    rows = 3 * dim + dim + 2 * inner + dim
    numbers = 4 * dim * dim + 3 * dim * inner
    norms = 2 * (4 * dim + 2 * 128)
    assert by_name(found)["transformer.layers.15"].bytes == numbers + 4 * rows + norms
    assert max(piece.bytes for piece in found.pieces) < 169 * 2**20
    assert found.embedding_bytes == 151936 * 2560 * 2
    assert found.fixed_bytes < 25e6


def test_the_bf16_model_has_the_sizes_that_are_known_of_it():
    found = sizes(BF16)
    assert total(found, Tour.DENOISE) == pytest.approx(11.33e9, rel=0.001)
    assert by_name(found)["transformer.layers.0"].bytes == pytest.approx(353.9e6, rel=0.001)
    assert total(found, Tour.READ) == pytest.approx(7.07e9, rel=0.001)
    assert total(found, Tour.DECODE) == pytest.approx(0.10e9, rel=0.02)


@pytest.mark.parametrize("numbers", EVERY, ids=str)
def test_no_weight_is_forgotten_or_counted_twice(numbers):
    found = sizes(numbers)
    parts = sum(piece.bytes for piece in found.pieces)
    parts += found.fixed_bytes + found.idle_bytes + found.embedding_bytes
    numbers_of_all = [
        prod(shape)
        for shapes in (
            transformer_shapes(PUBLIC.transformer),
            text_encoder_shapes(QWEN3),
            vae_shapes(PUBLIC.vae),
        )
        for shape in shapes.values()
    ]
    if numbers.precision in {Precision.BF16, Precision.FP32}:
        plain = sum(numbers_of_all) * numbers.item_bytes
        assert plain <= parts <= plain + ALIGNMENT * len(numbers_of_all)
    assert sum(numbers_of_all) < parts <= 4.01 * sum(numbers_of_all)


def test_what_is_computed_is_what_is_known_of_the_architecture():
    found = sizes(BF16)
    tokens = 4224
    linear = sum(piece.operations for piece in found.tour(Tour.DENOISE)) * tokens
    mixing = sum(piece.mixing for piece in found.tour(Tour.DENOISE)) * tokens**2
    assert linear + mixing == pytest.approx(56.6e12, rel=0.01)
    pixels = sum(piece.operations for piece in found.tour(Tour.DECODE)) * 1024**2
    assert pixels == pytest.approx(9.92e12, rel=0.01)
    assert sum(p.operations for p in found.tour(Tour.READ)) == pytest.approx(7.06e9, rel=0.001)


def test_what_an_encode_computes_is_what_torch_counts():
    with torch.device("meta"):
        vae = Vae(PUBLIC.vae)
        picture = torch.empty(1, 3, 64, 128)
    with FlopCounterMode(display=False) as counter:
        vae.encode(picture)
    counted = counter.get_total_flops() / (64 * 128)
    assert sizes(BF16).idle_operations == pytest.approx(counted, rel=0.01)


def test_tours_come_in_order_and_pieces_in_the_order_of_their_visits():
    found = sizes(INT8)
    plain = [tour for tour in Tour if tour is not Tour.LOOK]
    assert [tour for tour, _ in groupby(piece.tour for piece in found.pieces)] == plain
    names = [piece.name for piece in found.tour(Tour.DENOISE)]
    refiners = [name for name in names if "noise_refiner" in name]
    assert names[: len(refiners)] == refiners
    main = [name for name in names if name.startswith("transformer.layers.")]
    numbers = [int(name.split(".")[2]) for name in main]
    assert numbers == sorted(numbers)
    assert [piece.name for piece in found.tour(Tour.DECODE)] == [
        "vae.decoder.conv_in",
        "vae.decoder.mid",
        *(f"vae.decoder.stages.{number}" for number in range(4)),
        "vae.decoder.out",
    ]


@pytest.mark.parametrize("numbers", [INT8, OLD_INT8], ids=str)
def test_a_block_that_is_larger_than_the_others_is_cut(numbers):
    found = by_name(sizes(numbers))
    for block in ("layers.0", "layers.29", "noise_refiner.1", "context_refiner.0"):
        assert f"transformer.{block}" not in found
        assert {f"transformer.{block}.{part}" for part in PARTS} <= found.keys()
    assert "transformer.layers.1" in found


@pytest.mark.parametrize("numbers", [BF16, FP32], ids=str)
def test_blocks_of_one_size_stay_whole(numbers):
    assert not any(name.endswith(PARTS) for name in by_name(sizes(numbers)))


def test_modulation_travels_on_its_own():
    found = by_name(sizes(BF16))
    assert found["transformer.layers.3.modulation"].tour is Tour.MODULATE
    assert "transformer.context_refiner.0.modulation" not in found
    assert len(sizes(BF16).tour(Tour.MODULATE)) == 32


def test_layers_that_a_file_holds_as_int8_stay_so():
    whole = frozenset(
        f"transformer.layers.{number}.{leaf}"
        for number in (0, 29)
        for leaf in ("attention.qkv", "attention.out", "feed_forward.w13", "feed_forward.w2")
    )
    found = by_name(model_sizes(PUBLIC, INT8, whole))
    assert found["transformer.layers.0"].bytes == found["transformer.layers.1"].bytes
    assert by_name(model_sizes(PUBLIC, BF16, whole)).keys() == by_name(sizes(BF16)).keys()


def test_the_layers_that_a_file_holds_as_int8_are_found(tmp_path, tiny_model):
    convert(Conversion(source=tiny_model, goal=tmp_path / "int8", int8=True))
    plain, rounded = open_model(tiny_model), open_model(tmp_path / "int8")
    assert list(stored_int8(plain)) == []
    found = set(stored_int8(rounded))
    assert found == {
        *(f"transformer.{name}" for name in transformer_layers(plain.transformer.n_layers)),
        *(
            f"text_encoder.{name}"
            for name in text_encoder_layers(plain.text_encoder["num_hidden_layers"])
        ),
    }


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_a_plain_model_takes_what_its_tensors_take(tiny_model, precision, dtype):
    checkpoint = open_model(tiny_model)
    item = dtype.itemsize
    found = sizes_of(checkpoint, Numbers(precision=Precision(precision), item_bytes=item))
    network = load_transformer(checkpoint, dtype, torch.device("cpu"))
    for piece in found.pieces:
        place, _, path = piece.name.partition(".")
        if place == "transformer" and piece.tour is not Tour.MODULATE:
            own = [
                (tuple(weight.shape), weight.element_size())
                for name, weight in network.get_submodule(path).named_parameters()
                if not name.startswith("modulation.")
            ]
            assert slab_bytes(own) == piece.bytes


def test_what_adapters_add_travels_with_its_layer(tiny_model, tmp_path):
    modules = {
        "diffusion_model.layers.0.attention.to_out.0": 64,
        "diffusion_model.layers.1.adaLN_modulation.0": 32,
        "diffusion_model.cap_embedder.1": 48,
    }
    checkpoint = open_model(tiny_model)
    numbers = Numbers(precision=Precision.BF16, item_bytes=2)
    plain = sizes_of(checkpoint, numbers)
    shapes = transformer_shapes(checkpoint.transformer)
    tensors = {}
    for name, rank in modules.items():
        ours = name.removeprefix("diffusion_model.").replace("to_out.0", "out")
        rows, columns = shapes[ours.replace("adaLN_modulation.0", "modulation") + ".weight"]
        tensors[f"{name}.lora_A.weight"] = torch.zeros(rank, columns)
        tensors[f"{name}.lora_B.weight"] = torch.zeros(rows, rank)
    save_file(tensors, tmp_path / "a.safetensors")
    adapter = match(read_lora(tmp_path / "a.safetensors"), checkpoint.transformer)
    changed = sizes_of(checkpoint, numbers, [adapter])
    grown = {
        after.name: after.bytes - before.bytes
        for before, after in zip(plain.pieces, changed.pieces, strict=True)
        if after != before
    }
    grown["fixed"] = changed.fixed_bytes - plain.fixed_bytes
    assert grown.keys() == {"transformer.layers.0", "transformer.layers.1.modulation", "fixed"}
    needed = sum(tensor.numel() for tensor in tensors.values()) * numbers.item_bytes
    assert needed <= sum(grown.values()) <= needed + 3 * 5 * ALIGNMENT


def test_captions_are_filled_up_as_the_transformer_does():
    assert TOKEN_MULTIPLE == SEQUENCE_MULTIPLE
