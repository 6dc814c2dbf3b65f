"""Names of weights in files, from the names they have in our networks.

One of our matrices may be several in a file, laid one below the other (q, k and v; gate and value).
Every function takes one of our names and returns the file's names in the order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

VAE_STAGES = 4
"""Resolutions of the autoencoder: three halvings make latents an eighth of the picture."""

Naming = Callable[[str], tuple[str, ...]]
"""Gives, for the name of one of our weights, the names of its row blocks in a file."""


def _none(_name: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of file names the weights of a network.

    marker: a name that every such file holds after the prefix. prefixes: what may stand in front.
    unused: says whether a name (without prefix) may be there though we do not need it.
    """

    marker: str
    prefixes: tuple[str, ...]
    naming: Naming
    unused: Callable[[str], bool] = _none

    def prefix_in(self, names: Collection[str]) -> str | None:
        """Return the prefix with which `names` speaks this dialect, None if it does not."""
        return next((p for p in self.prefixes if p + self.marker in names), None)


def spoken(names: Collection[str], dialects: Sequence[Dialect]) -> tuple[Dialect, str]:
    """Return the dialect and prefix of a file's names; the first dialect if none fits."""
    for dialect in dialects:
        prefix = dialect.prefix_in(names)
        if prefix is not None:
            return dialect, prefix
    return dialects[0], ""


def transformer_names(ours: str) -> tuple[str, ...]:
    """Return diffusers' names for a weight of `Transformer`."""
    for fused, parts in _FUSED.items():
        if fused in ours:
            return tuple(ours.replace(fused, part) for part in parts)
    return (_renamed(ours, _TRANSFORMER),)


def vae_names(ours: str) -> tuple[str, ...]:
    """Return the names that diffusers' AutoencoderKL has for a weight of `Vae`."""
    side, rest = ours.split(".", 1)
    stages = "down_blocks" if side == "encoder" else "up_blocks"
    renamed = _renamed(f".{rest}", _VAE).replace(".stages.", f".{stages}.")
    return (side + renamed,)


def original_vae_names(ours: str) -> tuple[str, ...]:
    """Return the names that the original autoencoder files (ae.safetensors) have.

    They count the decoder's stages from the highest resolution, we from the lowest.
    """
    side, rest = ours.split(".", 1)
    renamed = _renamed(f".{rest}", _ORIGINAL_VAE)
    head, stages, tail = renamed.partition(".stages.")
    if stages:
        index, tail = tail.split(".", 1)
        place = f"down.{index}" if side == "encoder" else f"up.{VAE_STAGES - 1 - int(index)}"
        renamed = f"{head}.{place}.{tail}"
    return (side + renamed,)


def text_encoder_names(ours: str) -> tuple[str, ...]:
    """Return the name of a weight of `TextEncoder` in a Qwen3 file, without `model.` in front."""
    return (ours.removeprefix("model."),)


def text_encoder_dialect(layers: int) -> Dialect:
    """Return the naming of a Qwen3 of `layers` layers; its last layer and head are not needed."""
    ends = ("norm.weight", "lm_head.weight")
    last = f"layers.{layers - 1}."
    return Dialect(
        "embed_tokens.weight",
        ("", "model."),
        text_encoder_names,
        lambda name: name in ends or name.startswith(last),
    )


def _renamed(name: str, table: Mapping[str, str]) -> str:
    for ours, theirs in table.items():
        name = name.replace(ours, theirs)
    return name


_FUSED = {
    "attention.qkv.": ("attention.to_q.", "attention.to_k.", "attention.to_v."),
    "feed_forward.w13.": ("feed_forward.w1.", "feed_forward.w3."),
}

_TRANSFORMER = {
    "attention.out.": "attention.to_out.0.",
    "attention.q_norm.": "attention.norm_q.",
    "attention.k_norm.": "attention.norm_k.",
    "x_embedder.": "all_x_embedder.2-1.",
    "final_linear.": "all_final_layer.2-1.linear.",
    "final_modulation.": "all_final_layer.2-1.adaLN_modulation.1.",
    ".modulation.": ".adaLN_modulation.0.",
    "t_embedder.": "t_embedder.mlp.",
}

_STAGES = {
    ".stage1.norm.": ".norm1.",
    ".stage1.conv.": ".conv1.",
    ".stage2.norm.": ".norm2.",
    ".stage2.conv.": ".conv2.",
}

_VAE = {
    ".out.norm.": ".conv_norm_out.",
    ".out.conv.": ".conv_out.",
    ".mid.attention.norm.": ".mid.attention.group_norm.",
    ".mid.attention.out.": ".mid.attention.to_out.0.",
    ".mid.attention.q.": ".mid.attention.to_q.",
    ".mid.attention.k.": ".mid.attention.to_k.",
    ".mid.attention.v.": ".mid.attention.to_v.",
    ".mid.attention.": ".mid_block.attentions.0.",
    ".mid.resnet1.": ".mid_block.resnets.0.",
    ".mid.resnet2.": ".mid_block.resnets.1.",
    ".downsample.": ".downsamplers.0.",
    ".upsample.": ".upsamplers.0.",
    ".shortcut.": ".conv_shortcut.",
    **_STAGES,
}

_ORIGINAL_VAE = {
    ".out.norm.": ".norm_out.",
    ".out.conv.": ".conv_out.",
    ".mid.attention.out.": ".mid.attention.proj_out.",
    ".mid.attention.": ".mid.attn_1.",
    ".mid.resnet": ".mid.block_",
    ".resnets.": ".block.",
    ".shortcut.": ".nin_shortcut.",
    **_STAGES,
}

TRANSFORMER_DIALECTS = (
    Dialect(
        "cap_embedder.1.weight",
        ("", "model.diffusion_model.", "diffusion_model."),
        transformer_names,
    ),
)
"""How transformer files name their weights: as diffusers does."""

VAE_DIALECTS = (
    Dialect("encoder.down_blocks.0.resnets.0.conv1.weight", ("",), vae_names),
    Dialect(
        "encoder.down.0.block.0.conv1.weight",
        ("", "first_stage_model.", "vae."),
        original_vae_names,
    ),
)
"""How autoencoder files name their weights: as diffusers does, and as the original files do."""
