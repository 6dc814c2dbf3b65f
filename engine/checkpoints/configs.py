"""Architecture of the three networks: read from the shapes in a file, checked against config.json.

Shapes decide, because a configuration is mere text of a stranger: nothing is ever built larger
than the file is. What shapes cannot tell (theta, eps, scale) comes from the configuration.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from engine.checkpoints.keys import TRANSFORMER_DIALECTS, VAE_STAGES, spoken
from engine.errors import FileRejected
from engine.model.config import LATENT_CHANNELS, TransformerConfig, VaeConfig, VisionConfig

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of every tensor by its name in the file, prefix taken off."""

MAX_LAYERS: Final = 200
_EXAMPLES: Final = 3


class Declared:
    """A configuration file whose values are checked as they are taken."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def must_be(self, **expected: object) -> None:
        """Demand that each field, where it is given, has exactly this value."""
        for name, value in expected.items():
            found = self.values.get(name, value)
            if found != value or type(found) is not type(value):
                raise self._rejected(f"{name} is {found!r:.80}, but only {value!r} is supported")

    def must_agree(self, **shapes: object) -> None:
        """Demand that each field, where it is given, says what the shapes say."""
        for name, value in shapes.items():
            found = self.values.get(name)
            if found is not None and (found != value or isinstance(found, bool | float)):
                raise self._rejected(f"{name} is {found!r:.80}, but the weights say {value}")

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a finite number in range; the default where the field is absent."""
        found = self.values.get(name, default)
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self._rejected(f"{name} is {found!r:.80}, not a number")
        if not low <= found <= high:
            raise self._rejected(f"{name} is {found:.6g}, not between {low:g} and {high:g}")
        return float(found)

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number in range; the default where the field is absent."""
        found = self.values.get(name, default)
        if type(found) is not int or not low <= found <= high:
            raise self._rejected(f"{name} is {found!r:.80}, not a whole number {low} to {high}")
        return found

    def _rejected(self, fault: str) -> FileRejected:
        return FileRejected(
            f"{self.where}: {fault}.", "Check that all files belong to one model of this family."
        )


def is_omni(shapes: Shapes) -> bool:
    """Say whether a transformer takes features of reference pictures, as only Omni's does."""
    return any(name.startswith("siglip_") for name in shapes)


def transformer_config(shapes: Shapes, declared: Declared) -> TransformerConfig:
    """Read the architecture of a transformer, in any dialect; raise `FileRejected`."""
    dialect, _ = spoken(shapes, TRANSFORMER_DIALECTS)
    (embedder,) = dialect.naming("x_embedder.weight")
    (norm,) = dialect.naming("layers.0.attention.q_norm.weight")
    dim, patch_dim = _shape(shapes, embedder, 2)
    _, cap_feat_dim = _shape(shapes, "cap_embedder.1.weight", 2)
    (head_dim,) = _shape(shapes, norm, 1)
    if patch_dim != LATENT_CHANNELS * 4 or dim % head_dim or head_dim % 2:
        raise FileRejected(
            f"{declared.where}: width {dim}, heads of {head_dim} and patches of {patch_dim} do not "
            "make a Z-Image transformer."
        )
    found: dict[str, Any] = {
        "dim": dim,
        "n_layers": _count(shapes, "layers.", declared),
        "n_refiner_layers": _count(shapes, "noise_refiner.", declared),
        "n_heads": dim // head_dim,
        "cap_feat_dim": cap_feat_dim,
        "in_channels": LATENT_CHANNELS,
    }
    if is_omni(shapes):
        found["siglip_feat_dim"] = _shape(shapes, "siglip_embedder.1.weight", 2)[1]
    else:
        declared.must_be(siglip_feat_dim=None)
    declared.must_agree(**found, n_kv_heads=dim // head_dim)
    declared.must_be(all_patch_size=[2], all_f_patch_size=[1], qk_norm=True)
    return TransformerConfig(
        **found,
        norm_eps=declared.number("norm_eps", 1e-5, 0.0, 0.1),
        rope_theta=declared.number("rope_theta", 256.0, 1.0, 1e9),
        t_scale=declared.number("t_scale", 1000.0, 1e-3, 1e6),
        axes_dims=_axes(declared, head_dim),
    )


def vae_config(shapes: Shapes, declared: Declared) -> VaeConfig:
    """Read the architecture of an autoencoder, in either dialect; raise `FileRejected`."""
    original = any(name.startswith("encoder.down.") for name in shapes)
    stage, resnet = ("down", "block") if original else ("down_blocks", "resnets")
    stages = _count(shapes, f"encoder.{stage}.", declared)
    widths = tuple(
        _shape(shapes, f"encoder.{stage}.{i}.{resnet}.0.conv1.weight", 4)[0] for i in range(stages)
    )
    layers = _count(shapes, f"encoder.{stage}.0.{resnet}.", declared)
    latent = _shape(shapes, "decoder.conv_in.weight", 4)[1]
    if stages != VAE_STAGES or latent != LATENT_CHANNELS:
        raise FileRejected(
            f"{declared.where}: {stages} stages and {latent} latent channels, where the family's "
            f"autoencoder has {VAE_STAGES} and {LATENT_CHANNELS}."
        )
    declared.must_agree(
        block_out_channels=list(widths), layers_per_block=layers, latent_channels=latent
    )
    declared.must_be(
        act_fn="silu", in_channels=3, out_channels=3, mid_block_add_attention=True,
        use_quant_conv=False, use_post_quant_conv=False,
        down_block_types=["DownEncoderBlock2D"] * stages,
        up_block_types=["UpDecoderBlock2D"] * stages,
    )  # fmt: skip
    groups = declared.whole("norm_num_groups", 32, 1, 1024)
    if any(width % groups for width in widths):
        raise FileRejected(
            f"{declared.where}: the autoencoder's norm_num_groups is {groups}, which does not "
            f"divide {list(widths)}.",
            "Put its own configuration beside it, as vae/config.json.",
        )
    return VaeConfig(
        block_out_channels=widths,
        layers_per_block=layers,
        norm_num_groups=groups,
        scaling_factor=declared.number("scaling_factor", 0.3611, 1e-6, 1e6),
        shift_factor=declared.number("shift_factor", 0.1159, -1e6, 1e6),
    )


def vision_config(shapes: Shapes, declared: Declared, patches: Declared) -> VisionConfig:
    """Read the architecture of a vision encoder, names without a prefix; raise `FileRejected`.

    patches: how pictures are cut for it, as its preprocessor says.
    """
    places, width = _shape(shapes, "embeddings.position_embedding.weight", 2)
    patch_dim = _shape(shapes, "embeddings.patch_embedding.weight", 2)[1]
    side, patch = math.isqrt(places), math.isqrt(patch_dim // 3)
    if 3 * patch**2 != patch_dim or side**2 != places:
        raise FileRejected(
            f"{declared.where}: {places} places and patches of {patch_dim} numbers do not make a "
            "SigLIP 2 vision encoder.",
            "Use the one of any aspect ratio (NaFlex).",
        )
    found = {
        "hidden_size": width,
        "intermediate_size": _shape(shapes, "encoder.layers.0.mlp.fc1.weight", 2)[0],
        "num_hidden_layers": _count(shapes, "encoder.layers.", declared),
        "patch_size": patch,
        "num_patches": places,
    }
    declared.must_agree(**found)
    declared.must_be(hidden_act="gelu_pytorch_tanh", num_channels=3)
    patches.must_agree(patch_size=patch)
    heads = declared.whole("num_attention_heads", 16, 1, width)
    if width % heads:
        raise FileRejected(f"{declared.where}: width {width} has no {heads} equal heads.")
    return VisionConfig(
        **found,
        num_attention_heads=heads,
        layer_norm_eps=declared.number("layer_norm_eps", 1e-6, 0.0, 0.1),
        max_patches=patches.whole("max_num_patches", 256, 1, 4096),
    )


def text_encoder_config(shapes: Shapes, declared: Declared) -> dict[str, Any]:
    """Read the architecture of a Qwen3, names without `model.`; raise `FileRejected`.

    The result holds checked fields of `Qwen3Config` and nothing else of the stranger's.
    """
    vocabulary, hidden = _shape(shapes, "embed_tokens.weight", 2)
    (head_dim,) = _shape(shapes, "layers.0.self_attn.q_norm.weight", 1)
    queries, _ = _shape(shapes, "layers.0.self_attn.q_proj.weight", 2)
    keys, _ = _shape(shapes, "layers.0.self_attn.k_proj.weight", 2)
    if head_dim % 2 or keys < head_dim or keys % head_dim or queries % keys:
        raise FileRejected(
            f"{declared.where}: {queries} query and {keys} key channels in heads of {head_dim} do "
            "not make a Qwen3 text encoder."
        )
    found = {
        "hidden_size": hidden,
        "vocab_size": vocabulary,
        "intermediate_size": _shape(shapes, "layers.0.mlp.gate_proj.weight", 2)[0],
        "head_dim": head_dim,
        "num_attention_heads": queries // head_dim,
        "num_key_value_heads": keys // head_dim,
    }
    declared.must_agree(**found)
    declared.must_be(
        model_type="qwen3", hidden_act="silu", attention_bias=False, use_sliding_window=False
    )
    return {
        **found,
        "num_hidden_layers": _text_layers(shapes, declared),
        "rms_norm_eps": declared.number("rms_norm_eps", 1e-6, 0.0, 0.1),
        "rope_theta": _text_theta(declared),
        "max_position_embeddings": declared.whole("max_position_embeddings", 40960, 1, 2**24),
    }


def _text_layers(shapes: Shapes, declared: Declared) -> int:
    """Count the layers; a file may come without the last one, which is not needed.

    Where no configuration says so, the final norm tells: what is cut off the end goes with it.
    """
    stored = _count(shapes, "layers.", declared)
    whole = stored if "norm.weight" in shapes else stored + 1
    layers = declared.whole("num_hidden_layers", whole, 2, MAX_LAYERS)
    if layers - stored not in {0, 1}:
        declared.must_agree(num_hidden_layers=stored)
    kinds = declared.values.get("layer_types")
    if kinds is not None:
        declared.must_be(layer_types=["full_attention"] * layers)
    return layers


def _text_theta(declared: Declared) -> float:
    """Return RoPE's base, which stands at the top or in `rope_parameters`."""
    nested = declared.values.get("rope_parameters") or declared.values.get("rope_scaling") or {}
    if not isinstance(nested, dict):
        nested = {"rope_type": nested}
    rope = Declared(nested, declared.where)
    rope.must_be(rope_type="default", type="default")
    theta = declared.number("rope_theta", 1e6, 1.0, 1e9)
    return rope.number("rope_theta", theta, 1.0, 1e9)


def _axes(declared: Declared, head_dim: int) -> tuple[int, int, int]:
    """Return how many channels of a head each of the three positions turns."""
    quarter, rest = head_dim // 4, head_dim * 3 // 8
    axes = declared.values.get("axes_dims", [quarter, rest, rest])
    whole = isinstance(axes, list) and len(axes) == 3 and all(type(a) is int for a in axes)
    if not whole or sum(axes) != head_dim or any(a < 2 or a % 2 for a in axes):
        raise FileRejected(
            f"{declared.where}: axes_dims is {axes!r:.80}, not three even numbers that sum to the "
            f"weights' head width {head_dim}."
        )
    return axes[0], axes[1], axes[2]


def _shape(shapes: Shapes, name: str, rank: int) -> tuple[int, ...]:
    shape = shapes.get(name)
    if shape is None:
        raise FileRejected(f"The weights lack {name!r}.", "Check that this is a Z-Image model.")
    if len(shape) != rank or math.prod(shape) == 0:
        raise FileRejected(f"The weight {name!r} has the shape {list(shape)}, not {rank} sides.")
    return shape


def _count(shapes: Shapes, prefix: str, declared: Declared) -> int:
    """Count consecutively numbered parts such as `layers.0.` to `layers.29.`."""
    pattern = re.compile(re.escape(prefix) + r"([0-9]{1,4})\.")
    numbers = {int(found[1]) for name in shapes if (found := pattern.match(name))}
    count = max(numbers, default=-1) + 1
    if not 1 <= count <= MAX_LAYERS:
        raise FileRejected(
            f"{declared.where}: the weights hold {count} parts {prefix}N, not 1 to {MAX_LAYERS}."
        )
    missing = sorted(set(range(count)) - numbers)
    if missing:
        names = ", ".join(f"{prefix}{number}" for number in missing[:_EXAMPLES])
        raise FileRejected(
            f"{declared.where}: {len(missing)} of the weights' {count} parts {prefix}N are "
            f"missing ({names}).",
            "Download it again.",
        )
    return count
