"""GGUF files written by the format's own package are read as weights of a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import ZImageTransformer2DModel
from gguf import GGMLQuantizationType, GGUFWriter, dequantize, quantize
from transformers import Qwen3Config, Qwen3Model

from engine.checkpoints.assemble import Target, fill
from engine.checkpoints.header import read_header
from engine.checkpoints.keys import TRANSFORMER_DIALECTS, spoken, text_encoder_dialect
from engine.checkpoints.weights import open_weights
from engine.errors import FileRejected
from engine.model.config import TransformerConfig
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import Transformer

WIDTH = 96
"""The feed-forward width is then 256, and every matrix but one has rows of whole blocks."""

QUANTISED = [GGMLQuantizationType[name] for name in ("Q8_0", "Q4_0", "Q5_1", "Q4_1", "Q5_0")]


class Pen:
    """Writes weights to a GGUF file, matrices in alternating types; knows what they then are."""

    def __init__(self, path, architecture: str) -> None:
        self._writer = GGUFWriter(path, architecture)
        self._count = 0

    def add(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """Add a weight; return it as it comes back, float32."""
        array = weight.detach().float().numpy()
        self._count += 1
        if array.ndim < 2 or array.shape[-1] % 32:
            half = self._count % 2
            self._writer.add_tensor(name, array.astype(np.float16) if half else array)
            return weight.detach().half().float() if half else weight.detach()
        kind = QUANTISED[self._count % len(QUANTISED)]
        blocks = quantize(array, kind)
        self._writer.add_tensor(name, blocks, raw_dtype=kind)
        return torch.from_numpy(dequantize(blocks, kind))

    def close(self) -> None:
        self._writer.write_header_to_file()
        self._writer.write_kv_data_to_file()
        self._writer.write_tensors_to_file()
        self._writer.close()


def original_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The original dialect, as image models in GGUF files have it: q, k and v are one matrix."""
    found = {}
    for name, weight in weights.items():
        name = name.replace(".to_out.0.", ".out.").replace(".norm_q.", ".q_norm.")
        name = name.replace(".norm_k.", ".k_norm.").replace("all_x_embedder.2-1.", "x_embedder.")
        name = name.replace("all_final_layer.2-1.", "final_layer.")
        if ".to_k." in name or ".to_v." in name:
            continue
        if ".to_q." in name:
            others = [weights[name.replace("to_q", part)] for part in ("to_k", "to_v")]
            name, weight = name.replace("to_q", "qkv"), torch.cat([weight, *others])
        found[name] = weight
    return found


@pytest.fixture(scope="module")
def transformer() -> ZImageTransformer2DModel:
    torch.manual_seed(3)
    model = ZImageTransformer2DModel(
        dim=WIDTH, n_layers=2, n_refiner_layers=1, n_heads=3, n_kv_heads=3, cap_feat_dim=64,
        axes_dims=[8, 12, 12], axes_lens=[1536, 512, 512],
    )  # fmt: skip
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def filled(network, path, dialects):
    with open_weights([read_header(path)]) as source:
        dialect, _ = spoken(source.shapes, dialects)
        fill(network, source, dialect, Target("network", torch.float32, torch.device("cpu")))
    return network


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_whole_transformer_comes_back_as_the_package_unpacks_it(prefix, transformer, tmp_path):
    path = tmp_path / "z-image.gguf"
    pen = Pen(path, "lumina2")
    expected = {
        name: pen.add(prefix + name, weight)
        for name, weight in original_names(transformer.state_dict()).items()
    }
    pen.close()
    with torch.device("meta"):
        ours = Transformer(
            TransformerConfig(
                dim=WIDTH, n_layers=2, n_refiner_layers=1, n_heads=3, cap_feat_dim=64,
                axes_dims=(8, 12, 12),
            )
        )  # fmt: skip
    state = filled(ours, path, TRANSFORMER_DIALECTS).state_dict()
    block = "layers.1."
    gate, value = (expected[f"{block}feed_forward.w{i}.weight"] for i in (1, 3))
    assert torch.equal(state[f"{block}feed_forward.w13.weight"], torch.cat([gate, value]))
    assert torch.equal(
        state[f"{block}attention.qkv.weight"], expected[f"{block}attention.qkv.weight"]
    )
    assert sum(w.numel() for w in state.values()) == sum(w.numel() for w in expected.values())
    total = sum(w.double().sum() for w in expected.values())
    assert sum(w.double().sum() for w in state.values()) == pytest.approx(float(total), rel=1e-9)


LLAMA_NAMES = {
    "embed_tokens.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
ENCODER = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 16, "intermediate_size": 96, "vocab_size": 300, "rope_theta": 500_000.0,
}  # fmt: skip


def llama_name(name: str) -> str:
    name = name.replace("layers.", "blk.")
    for theirs, llama in LLAMA_NAMES.items():
        if name == theirs or f".{theirs}." in name:
            return name.replace(theirs, llama)
    raise AssertionError(name)


def test_a_qwen3_in_the_names_of_llama_cpp_comes_back_under_the_librarys(tmp_path):
    torch.manual_seed(4)
    model = Qwen3Model(Qwen3Config(**ENCODER))
    path = tmp_path / "qwen3.gguf"
    pen = Pen(path, "qwen3")
    expected = {
        name: pen.add(llama_name(name), weight) for name, weight in model.state_dict().items()
    }
    pen.close()
    with torch.device("meta"):
        encoder = TextEncoder(ENCODER)
    state = filled(encoder, path, (text_encoder_dialect(3),)).state_dict()
    assert len(state) > 20
    for name, weight in state.items():
        assert torch.equal(weight, expected[name.removeprefix("model.")]), name


def test_the_kind_of_a_weight_is_what_people_call_it(tmp_path):
    path = tmp_path / "x.gguf"
    pen = Pen(path, "lumina2")
    pen.add("a.weight", torch.ones(2, 32))
    pen.add("b.weight", torch.ones(3))
    pen.close()
    with open_weights([read_header(path)]) as source:
        assert {name: weight.kind for name, weight in source.weights.items()} == {
            "a.weight": "Q4_0", "b.weight": "f32",
        }  # fmt: skip
        assert source.read_int8("a.weight") is None


def test_a_language_model_that_names_a_weight_in_two_ways_is_refused(tmp_path):
    path = tmp_path / "x.gguf"
    pen = Pen(path, "qwen3")
    for name in ("token_embd.weight", "model.embed_tokens.weight"):
        pen.add(name, torch.ones(2, 32))
    pen.close()
    with pytest.raises(FileRejected, match="twice"), open_weights([read_header(path)]):
        pass


def test_scales_that_are_not_finite_are_refused(tmp_path):
    path = tmp_path / "x.gguf"
    blocks = np.full((1, 34), 255, np.uint8)
    writer = GGUFWriter(path, "lumina2")
    writer.add_tensor("a.weight", blocks, raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with (
        open_weights([read_header(path)]) as source,
        pytest.raises(FileRejected, match=r"a\.weight.*not finite"),
    ):
        source.read("a.weight")
