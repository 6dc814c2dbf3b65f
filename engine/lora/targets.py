"""Every weight of the transformer that an adapter may change, under all names that files use.

The table is made from our own names by the naming functions of checkpoint files, so that a name in
a file is looked up and never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from engine.checkpoints.keys import original_transformer_names, transformer_names
from engine.lora.forms import Shape
from engine.lora.names import canonical
from engine.model.config import TransformerConfig

_TIME_FREQUENCIES: Final = 256
_TIME_HIDDEN: Final = 1024
_CAPTION_PARTS: Final = ("context_refiner.", "cap_embedder.", "cap_pad_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A weight, or a block of its rows.

    module: name of the module in our `Transformer`, empty for the transformer itself. parameter:
    the name of the weight in it. start: the first of its rows. shape: of the block.
    """

    module: str
    parameter: str
    shape: Shape
    start: int = 0
    linear: bool = False
    has_bias: bool = False

    @property
    def rows(self) -> slice:
        """The block of rows."""
        return slice(self.start, self.start + self.shape[0])

    @property
    def shapes_captions(self) -> bool:
        """Whether refined captions depend on it."""
        return f"{self.module}.{self.parameter}".lstrip(".").startswith(_CAPTION_PARTS)

    def bias(self) -> Target | None:
        """Return the bias that belongs to these rows, if there is one."""
        if not self.has_bias:
            return None
        return replace(self, parameter="bias", shape=self.shape[:1], linear=False, has_bias=False)


def targets(config: TransformerConfig) -> dict[str, Target]:
    """Return every weight by its canonical names: those of diffusers and those of the original."""
    table: dict[str, Target] = {}
    for weight in weights(config):
        name = f"{weight.module}.{weight.parameter}".lstrip(".")
        for naming in (transformer_names, original_transformer_names):
            pieces = naming(name)
            height = weight.shape[0] // len(pieces)
            for index, piece in enumerate(pieces):
                block = replace(weight, start=index * height, shape=(height, *weight.shape[1:]))
                table[canonical(piece.removesuffix(".weight"))] = block
    return table


def weights(config: TransformerConfig) -> Iterator[Target]:
    """Yield every weight of the transformer, whole; biases stand with their weights."""
    dim, adaln = config.dim, config.adaln_dim
    yield _linear("x_embedder", dim, config.patch_dim)
    yield _linear("t_embedder.0", _TIME_HIDDEN, _TIME_FREQUENCIES)
    yield _linear("t_embedder.2", adaln, _TIME_HIDDEN)
    yield _norm("cap_embedder.0", config.cap_feat_dim)
    yield _linear("cap_embedder.1", dim, config.cap_feat_dim)
    for token in ("x_pad_token", "cap_pad_token"):
        yield Target(module="", parameter=token, shape=(1, dim))
    sight = config.siglip_feat_dim
    if sight is not None:
        yield _norm("siglip_embedder.0", sight)
        yield _linear("siglip_embedder.1", dim, sight)
        yield Target(module="", parameter="siglip_pad_token", shape=(1, dim))
    stacks: Mapping[str, tuple[int, bool]] = {
        "noise_refiner": (config.n_refiner_layers, True),
        "context_refiner": (config.n_refiner_layers, False),
        "siglip_refiner": (0 if sight is None else config.n_refiner_layers, False),
        "layers": (config.n_layers, True),
    }
    for stack, (count, modulated) in stacks.items():
        for index in range(count):
            yield from _block(f"{stack}.{index}", config)
            if modulated:
                yield _linear(f"{stack}.{index}.modulation", 4 * dim, adaln)
    yield _linear("final_modulation", dim, adaln)
    yield _linear("final_linear", config.patch_dim, dim)


def _block(block: str, config: TransformerConfig) -> Iterator[Target]:
    dim = config.dim
    yield _linear(f"{block}.attention.qkv", 3 * dim, dim, bias=False)
    yield _linear(f"{block}.attention.out", dim, dim, bias=False)
    yield _norm(f"{block}.attention.q_norm", config.head_dim)
    yield _norm(f"{block}.attention.k_norm", config.head_dim)
    yield _linear(f"{block}.feed_forward.w13", 2 * config.ffn_dim, dim, bias=False)
    yield _linear(f"{block}.feed_forward.w2", dim, config.ffn_dim, bias=False)
    for norm in ("attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2"):
        yield _norm(f"{block}.{norm}", dim)


def _linear(module: str, rows: int, columns: int, *, bias: bool = True) -> Target:
    shape = (rows, columns)
    return Target(module=module, parameter="weight", shape=shape, linear=True, has_bias=bias)


def _norm(module: str, width: int) -> Target:
    return Target(module=module, parameter="weight", shape=(width,))
