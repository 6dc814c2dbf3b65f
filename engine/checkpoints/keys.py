"""Names of weights in files, from the names they have in our networks.

One of our matrices may be several in a file, laid one below the other (q, k and v; gate and value).
Every function takes one of our names and returns the file's names in the order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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

    name: what people call it. marker: a weight that every such file holds; whatever stands in front
    of it stands in front of all. unused: says whether a name (without prefix) may be there though
    we do not need it.
    """

    name: str
    marker: str
    naming: Naming
    unused: Callable[[str], bool] = _none

    def prefix_in(self, names: Iterable[str]) -> str | None:
        """Return the prefix with which `names` speaks this dialect, None if it does not.

        Of several, such as a copy of averaged weights beside the weights, the shortest.
        """
        found = (name.removesuffix(self.marker) for name in names if name.endswith(self.marker))
        whole = [prefix for prefix in found if not prefix or prefix.endswith(".")]
        return min(whole, key=lambda prefix: (len(prefix), prefix), default=None)


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


def original_transformer_names(ours: str) -> tuple[str, ...]:
    """Return the names that the original files, which fuse q, k and v, have for a weight."""
    gate, value = _FUSED[_GATE_AND_VALUE]
    if _GATE_AND_VALUE in ours:
        return ours.replace(_GATE_AND_VALUE, gate), ours.replace(_GATE_AND_VALUE, value)
    return (_renamed(ours, _ORIGINAL_TRANSFORMER),)


def vae_names(ours: str) -> tuple[str, ...]:
    """Return the names that diffusers' AutoencoderKL has for a weight of `Vae`."""
    side, rest = ours.split(".", 1)
    stages = "down_blocks" if side == "encoder" else "up_blocks"
    renamed = _renamed(f".{rest}", _VAE).replace(".stages.", f".{stages}.")
    return (side + renamed,)


def old_vae_names(ours: str) -> tuple[str, ...]:
    """Return the names that early releases of diffusers gave; they differ in the attention."""
    (name,) = vae_names(ours)
    return (_renamed(name, _OLD_ATTENTION),)


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
        "diffusers",
        "layers.0.self_attn.q_norm.weight",
        text_encoder_names,
        lambda name: name in ends or name.startswith(last),
    )


def vision_names(ours: str) -> tuple[str, ...]:
    """Return the name of a weight of `VisionEncoder` in a SigLIP 2 file."""
    return (ours.removeprefix("model."),)


def _is_head(name: str) -> bool:
    """Say whether a weight belongs to what pools features, which are wanted one by one."""
    return name.startswith("head.")


def _renamed(name: str, table: Mapping[str, str]) -> str:
    for ours, theirs in table.items():
        name = name.replace(ours, theirs)
    return name


_GATE_AND_VALUE = "feed_forward.w13."

_FUSED = {
    "attention.qkv.": ("attention.to_q.", "attention.to_k.", "attention.to_v."),
    _GATE_AND_VALUE: ("feed_forward.w1.", "feed_forward.w3."),
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

_ORIGINAL_TRANSFORMER = {
    "final_linear.": "final_layer.linear.",
    "final_modulation.": "final_layer.adaLN_modulation.1.",
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

_OLD_ATTENTION = {
    ".attentions.0.to_q.": ".attentions.0.query.",
    ".attentions.0.to_k.": ".attentions.0.key.",
    ".attentions.0.to_v.": ".attentions.0.value.",
    ".attentions.0.to_out.0.": ".attentions.0.proj_attn.",
}

_LEFT_OVER = "norm_final.weight"
"""A norm that the original network never applies; some files still hold it."""


def _left_over(name: str) -> bool:
    return name == _LEFT_OVER


TRANSFORMER_DIALECTS = (
    Dialect("diffusers", "layers.0.attention.norm_q.weight", transformer_names, _left_over),
    Dialect("original", "layers.0.attention.q_norm.weight", original_transformer_names, _left_over),
)
"""How transformer files name their weights: as diffusers does, and as the original files do."""

VAE_DIALECTS = (
    Dialect("diffusers", "encoder.mid_block.attentions.0.to_q.weight", vae_names),
    Dialect("diffusers", "encoder.mid_block.attentions.0.query.weight", old_vae_names),
    Dialect("original", "encoder.mid.attn_1.q.weight", original_vae_names),
)
"""How autoencoder files name their weights: as diffusers does, once did, and as the originals."""

VISION_DIALECTS = (
    Dialect("transformers", "embeddings.patch_embedding.weight", vision_names, _is_head),
)
"""How vision encoder files name their weights."""
