"""Nunchaku's files are read as the matrices they stand for, under the names of diffusers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diffusers import ZImageTransformer2DModel
from safetensors.torch import save_file
from torch import Tensor

from engine.checkpoints.assemble import Target, fill
from engine.checkpoints.header import read_header
from engine.checkpoints.keys import TRANSFORMER_DIALECTS, spoken
from engine.checkpoints.weights import open_weights
from engine.errors import FileRejected
from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from tests.engine.checkpoints.formats.nunchaku_tiles import (
    packed_micro_scales,
    packed_scales,
    random_layer,
)

WIDTH = 384
"""The feed-forward width is then 1,024: whole tiles of 128, after thirds for q, k and v too."""

ARCHITECTURE = {
    "dim": WIDTH, "n_layers": 1, "n_refiner_layers": 1, "n_heads": 4, "cap_feat_dim": 64,
    "axes_dims": (32, 32, 32),
}  # fmt: skip


def written(path, layers: dict[str, dict[str, Tensor]], **plain: Tensor) -> None:
    """Save layers, each with its tensors by ending, and plain tensors."""
    tensors = {f"{layer}.{end}": t for layer, found in layers.items() for end, t in found.items()}
    save_file({k: v.contiguous() for k, v in (tensors | plain).items()}, path)


def read(path) -> dict[str, Tensor]:
    with open_weights([read_header(path)]) as source:
        return {name: source.read(name) for name in source.weights}


def test_the_scales_lie_in_the_published_order():
    by_row = torch.arange(128.0)[:, None]
    laid = packed_scales(by_row).flatten().int().tolist()
    assert laid[:8] == [0, 1, 8, 9, 2, 3, 10, 11]
    assert laid[16:20] == [16, 17, 24, 25]
    assert laid[-4:] == [118, 119, 126, 127]
    laid = packed_micro_scales(by_row.expand(-1, 4))[0].int().tolist()
    assert laid[:32:4] == [0, 32, 64, 96, 8, 40, 72, 104]
    assert laid[64:80:4] == [1, 33, 65, 97]


@pytest.mark.parametrize("fp4", [False, True], ids=["int4", "fp4"])
def test_a_layer_is_the_matrix_it_stands_for(fp4, tmp_path):
    tensors, expected = random_layer(256, 384, fp4=fp4, rank=48)
    written(tmp_path / "x.safetensors", {"layers.0.attention.to_out.0": tensors})
    found = read(tmp_path / "x.safetensors")
    assert list(found) == ["layers.0.attention.to_out.0.weight"]
    torch.testing.assert_close(next(iter(found.values())), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fp4", [False, True], ids=["int4", "fp4"])
def test_fused_layers_are_cut_into_rows(fp4, tmp_path):
    qkv, qkv_weight = random_layer(3 * 256, 128, fp4=fp4)
    gates, gates_weight = random_layer(2 * 128, 256, fp4=fp4)
    written(
        tmp_path / "x.safetensors",
        {"layers.0.attention.to_qkv": qkv, "layers.0.feed_forward.net.0.proj": gates},
    )
    found = read(tmp_path / "x.safetensors")
    value, gate = gates_weight.chunk(2)
    expected = dict(zip(("to_q", "to_k", "to_v"), qkv_weight.chunk(3), strict=True))
    expected = {f"layers.0.attention.{name}.weight": rows for name, rows in expected.items()}
    expected |= {"layers.0.feed_forward.w3.weight": value, "layers.0.feed_forward.w1.weight": gate}
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-5, atol=1e-6)


def test_an_fp4_layer_needs_no_outer_scales(tmp_path):
    tensors, expected = random_layer(128, 128, fp4=True)
    ones = {"wcscales": torch.ones(128), "wtscale": torch.ones(1)}
    written(tmp_path / "with.safetensors", {"a": tensors | ones})
    written(
        tmp_path / "without.safetensors",
        {"a": {end: t for end, t in tensors.items() if end not in ones}},
    )
    with_ones, without = (read(tmp_path / f"{n}.safetensors") for n in ("with", "without"))
    assert torch.equal(with_ones["a.weight"], without["a.weight"])
    assert not torch.allclose(without["a.weight"], expected, atol=1e-3)


@pytest.mark.parametrize("refiners", ["quantised", "plain"])
def test_a_whole_transformer_comes_back_under_the_names_of_diffusers(refiners, tmp_path):
    torch.manual_seed(5)
    with torch.device("meta"):
        names = ZImageTransformer2DModel(
            **{**ARCHITECTURE, "axes_dims": [32, 32, 32]}, n_kv_heads=4, axes_lens=[1536, 512, 512]
        ).state_dict()
    expected = {name: torch.randn(w.shape).bfloat16().float() for name, w in names.items()}
    plain, layers = {name: w.bfloat16() for name, w in expected.items()}, {}
    for block in ("layers.0.", "noise_refiner.0.", "context_refiner.0."):
        ff = f"{block}feed_forward."
        if refiners == "plain" and block != "layers.0.":
            plain[f"{ff}net.2.weight"] = plain.pop(f"{ff}w2.weight")
            halves = [plain.pop(f"{ff}{name}.weight") for name in ("w3", "w1")]
            plain[f"{ff}net.0.proj.weight"] = torch.cat(halves)
            continue
        for layer, parts in (
            ("attention.to_qkv", ("attention.to_q", "attention.to_k", "attention.to_v")),
            ("attention.to_out.0", ("attention.to_out.0",)),
            ("feed_forward.net.0.proj", ("feed_forward.w3", "feed_forward.w1")),
            ("feed_forward.net.2", ("feed_forward.w2",)),
        ):
            shapes = [plain.pop(f"{block}{part}.weight").shape for part in parts]
            rows = sum(shape[0] for shape in shapes)
            layers[block + layer], whole = random_layer(rows, shapes[0][1], seed=len(layers))
            expected |= {
                f"{block}{part}.weight": cut
                for part, cut in zip(parts, whole.chunk(len(parts)), strict=True)
            }
    path = tmp_path / "svdq-int4_r16-z-image.safetensors"
    written(path, layers, **plain)
    with torch.device("meta"):
        ours = Transformer(TransformerConfig(**ARCHITECTURE))
    with open_weights([read_header(path)]) as source:
        assert source.shapes.keys() == expected.keys()
        dialect, _ = spoken(source.shapes, TRANSFORMER_DIALECTS)
        fill(ours, source, dialect, Target("transformer", torch.float32, torch.device("cpu")))
        kinds = {stored.kind for stored in source.weights.values()}
    assert kinds == {"bf16", "int4 (nunchaku)"}
    for name, weight in ours.state_dict().items():
        pieces = [expected[piece] for piece in dialect.naming(name)]
        whole = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
        torch.testing.assert_close(weight, whole.view(weight.shape), rtol=1e-5, atol=1e-6)


Change = Callable[[dict[str, Tensor]], object]

FAULTS: dict[str, tuple[str, str, Change]] = {
    "no smoothing": ("a", "lacks smooth_factor", lambda t: t.pop("smooth_factor")),
    "no factor": ("a", "lacks proj_up", lambda t: t.pop("proj_up")),
    "values as a list": ("a", "no matrix", lambda t: t.update(qweight=t["qweight"].flatten())),
    "factor as a list": ("a", "no matrix", lambda t: t.update(proj_down=torch.ones(9))),
    "odd rows": ("a", "whole tiles", lambda t: t.update(qweight=t["qweight"][:100])),
    "odd columns": ("a", "whole tiles", lambda t: t.update(qweight=t["qweight"][:, :40])),
    "no rows": ("a", "whole tiles", lambda t: t.update(qweight=t["qweight"][:0])),
    "two tiles for three parts": ("attention.to_qkv", "whole tiles", lambda _: None),
    "odd rank": ("a", "rank 8", lambda t: t.update(proj_down=torch.ones(128, 8))),
    "no rank": ("a", "rank 0", lambda t: t.update(proj_down=torch.ones(128, 0))),
    "short scales": ("a", "has wscales of", lambda t: t.update(wscales=t["wscales"][:1])),
    "long smoothing": ("a", "smooth_factor of", lambda t: t.update(smooth_factor=torch.ones(256))),
    "other rank": ("a", "has proj_up of", lambda t: t.update(proj_up=torch.ones(256, 32))),
    "wide row scales": ("a", "has wcscales of", lambda t: t.update(wcscales=torch.ones(128))),
    "many scales for all": ("a", "one wtscale", lambda t: t.update(wtscale=torch.ones(2))),
    "float values": ("a", "in F32", lambda t: t.update(qweight=t["qweight"].float())),
    "whole factors": ("a", "in I32", lambda t: t.update(proj_up=t["proj_up"].int())),
    "whole scales": ("a", "in I32", lambda t: t.update(wscales=t["wscales"].int())),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_layer_that_is_not_whole_is_refused_with_the_reason(fault, tmp_path):
    layer, reason, change = FAULTS[fault]
    tensors, _ = random_layer(256, 128)
    change(tensors)
    written(tmp_path / "x.safetensors", {layer: tensors})
    with pytest.raises(FileRejected, match=reason) as caught:
        read(tmp_path / "x.safetensors")
    assert repr(layer) in str(caught.value)


@pytest.mark.parametrize(
    "plain", [torch.ones(3, 4), torch.ones(4), torch.ones(4, 4).to(torch.int8)]
)
def test_a_plain_layer_that_cannot_be_cut_is_refused(plain, tmp_path):
    tensors, _ = random_layer(128, 128)
    name = "noise_refiner.0.feed_forward.net.0.proj.weight"
    written(tmp_path / "x.safetensors", {"a": tensors}, **{name: plain})
    with pytest.raises(FileRejected, match="no matrix of 2 parts"):
        read(tmp_path / "x.safetensors")


def test_values_of_another_packing_are_refused(tmp_path):
    save_file({"a.qweight": torch.zeros(8, 8, dtype=torch.int32)}, tmp_path / "x.safetensors")
    with pytest.raises(FileRejected, match="no known format"):
        read(tmp_path / "x.safetensors")


def test_smoothing_by_zero_is_refused(tmp_path):
    tensors, _ = random_layer(128, 128)
    tensors["smooth_factor"][5] = 0
    written(tmp_path / "x.safetensors", {"a": tensors})
    with pytest.raises(FileRejected, match="not finite"):
        read(tmp_path / "x.safetensors")
