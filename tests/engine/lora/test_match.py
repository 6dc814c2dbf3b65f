from __future__ import annotations

import pytest
import torch

from engine.errors import FileRejected
from engine.lora.file import read_lora
from engine.lora.match import match, require
from engine.lora.targets import targets, weights
from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from tests.engine.lora.models import CONFIG
from tests.engine.lora.writer import Book


def adapter(names, folder, shape=(64, 64), **metadata):
    """An adapter of rank 2 for modules of these names, all of one shape."""
    book = Book({}, metadata=metadata)
    for name in names:
        book.tensors |= {
            f"{name}.lora_A.weight": book.random(2, shape[1]),
            f"{name}.lora_B.weight": book.random(shape[0], 2),
        }
    return read_lora(book.save(folder / "some" / "one.safetensors"))


def hundred(known, folder):
    """An adapter of a hundred modules, of which the model knows so many."""
    config = TransformerConfig(dim=64, n_layers=25, n_heads=2, cap_feat_dim=32)
    names = [
        f"layers.{i}.attention.{p}" for i in range(25) for p in ("to_q", "to_k", "to_v", "out")
    ]
    renamed = [name if i < known else f"{name}_renamed" for i, name in enumerate(names)]
    return match(adapter(renamed, folder), config)


@pytest.mark.parametrize("known", [0, 1, 50, 89])
def test_less_than_nine_tenths_are_refused_with_both_counts(known, tmp_path):
    found = hundred(known, tmp_path)
    with pytest.raises(FileRejected, match=f"{known} of 100 modules") as caught:
        require(found)
    assert "_renamed" in caught.value.message
    assert ("--lora-partial" in caught.value.action) == (known > 0)


@pytest.mark.parametrize("known", [1, 50, 89, 90, 99])
def test_a_part_is_applied_when_told_and_said_with_both_counts(known, tmp_path):
    (notice,) = require(hundred(known, tmp_path), partial=True)
    assert f"{known} of 100 modules" in notice


def test_nothing_is_never_applied(tmp_path):
    with pytest.raises(FileRejected, match="0 of 100"):
        require(hundred(0, tmp_path), partial=True)


def test_nine_tenths_are_enough_and_a_whole_fit_is_silent(tmp_path):
    assert "99 of 100" in require(hundred(99, tmp_path))[0]
    assert require(hundred(100, tmp_path)) == ()


def test_a_model_of_another_width_is_named_so_even_in_part(tmp_path):
    names = ["layers.0.attention.to_q", "layers.1.attention.to_k"]
    found = match(adapter(names, tmp_path, (3840, 3840)), CONFIG)
    assert found.matched == 0
    for partial in (False, True):
        with pytest.raises(
            FileRejected, match=r"another size.*\[3840, 3840\] instead of \[64, 64\]"
        ):
            require(found, partial=partial)


def test_one_wrong_shape_among_many_right_ones_is_refused(tmp_path):
    lora = adapter([f"layers.{i}.attention.to_q" for i in range(2)], tmp_path)
    wrong = adapter(["layers.0.feed_forward.w2"], tmp_path / "wrong")
    both = match(
        lora.__class__(**{**fields(lora), "changes": lora.changes + wrong.changes}), CONFIG
    )
    with pytest.raises(FileRejected, match=r"1 of 3 modules"):
        require(both, partial=True)


def fields(lora):
    return {name: getattr(lora, name) for name in lora.__slots__}


def test_an_adapter_of_the_text_encoder_alone_is_refused(tmp_path):
    lora = adapter(["text_encoder.model.layers.0.self_attn.q_proj"], tmp_path)
    with pytest.raises(FileRejected, match="only the text encoder"):
        require(match(lora, CONFIG))


def test_a_fused_weight_with_some_of_its_parts_is_refused(tmp_path):
    whole = adapter(["layers.0.attention.qkv"], tmp_path, (192, 64))
    part = adapter(["layers.0.attention.to_k"], tmp_path / "part")
    both = whole.__class__(**{**fields(whole), "changes": whole.changes + part.changes})
    with pytest.raises(FileRejected, match="whole and some of its parts"):
        match(both, CONFIG)


@pytest.mark.parametrize(
    ("name", "touched"),
    [
        ("context_refiner.0.attention.to_q", True), ("context_refiner.0.attention_norm1", True),
        ("cap_embedder.0", True), ("cap_pad_token", True), ("x_pad_token", False),
        ("noise_refiner.0.attention.to_q", False), ("layers.0.attention.to_q", False),
    ],
)  # fmt: skip
def test_what_captions_depend_on_is_known(name, touched, base, tmp_path):
    shape = next(w.shape for n, w in base.items() if n in {name, f"{name}.weight"})
    book = Book({}, tensors={f"diffusion_model.{name}.diff": torch.ones(shape)})
    found = match(read_lora(book.save(tmp_path / "one.safetensors")), CONFIG)
    assert (found.matched, found.touches_captions) == (1, touched)


def test_alpha_zero_has_no_effect_and_is_said(tmp_path):
    book = Book({})
    name = "lora_unet_layers_0_attention_to_q"
    book.tensors = {
        f"{name}.lora_down.weight": torch.ones(2, 64),
        f"{name}.lora_up.weight": torch.ones(64, 2),
        f"{name}.alpha": torch.tensor(0.0),
    }
    lora = read_lora(book.save(tmp_path / "zero.safetensors"))
    assert lora.changes[0].scale == 0
    assert "alpha 0" in require(match(lora, CONFIG))[0]


@pytest.mark.parametrize(
    "config", [CONFIG, TransformerConfig(), TransformerConfig(siglip_feat_dim=1152)]
)
def test_the_table_lists_every_weight_of_the_transformer(config):
    with torch.device("meta"):
        expected = {name: tuple(w.shape) for name, w in Transformer(config).state_dict().items()}
    found = {}
    for target in weights(config):
        name = f"{target.module}.{target.parameter}".lstrip(".")
        found[name] = target.shape
        if target.has_bias:
            found[f"{target.module}.bias"] = target.shape[:1]
    assert found == expected


def test_every_name_of_both_dialects_leads_to_one_block_of_rows(base):
    table = targets(CONFIG)
    known = {name.replace(".", "_") for name in base if not name.endswith("bias")}
    assert {name.removesuffix("_weight") for name in known} <= table.keys()
    assert table["layers_0_attention_to_v"].start == 128
    assert table["layers_0_attention_qkv"].shape == (192, 64)
    assert table["layers_0_feed_forward_w3"].start == table["layers_0_feed_forward_w3"].shape[0]
