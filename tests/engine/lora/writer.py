"""Writes adapters as other programs do, with what each must do to a model, in float64.

Knows nothing of the engine: names and shapes are those of the reference library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

Weights = dict[str, Tensor]
ATTENTION = ("to_q", "to_k", "to_v")
LAYER = "layers.0."
USUAL = (
    "layers.0.attention.to_q", "layers.0.attention.to_k", "layers.0.attention.to_v",
    "layers.0.attention.to_out.0", "layers.0.feed_forward.w1", "layers.0.feed_forward.w2",
    "layers.0.feed_forward.w3", "layers.1.attention.to_q", "layers.1.attention.to_out.0",
    "layers.1.feed_forward.w3", "layers.1.adaLN_modulation.0",
)  # fmt: skip
EVERYWHERE = (
    *USUAL, "noise_refiner.0.attention.to_v", "noise_refiner.0.adaLN_modulation.0",
    "context_refiner.0.attention.to_k", "context_refiner.0.feed_forward.w1", "cap_embedder.1",
    "t_embedder.mlp.0", "t_embedder.mlp.2", "all_x_embedder.2-1", "all_final_layer.2-1.linear",
    "all_final_layer.2-1.adaLN_modulation.1",
)  # fmt: skip


@dataclass
class Book:
    """One adapter under way. base: the model's weights, float64, by diffusers' names."""

    base: Weights
    seed: int = 0
    tensors: Weights = field(default_factory=dict)
    deltas: Weights = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    beside: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = torch.Generator().manual_seed(self.seed)

    def random(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.rng) * 0.3

    def fused(self, name: str) -> Tensor:
        """The weight of one module; `qkv` is q above k above v."""
        if not name.endswith(".qkv"):
            return self.base[f"{name}.weight"]
        block = name.removesuffix("qkv")
        return torch.cat([self.base[f"{block}{part}.weight"] for part in ATTENTION])

    def change(self, name: str, delta: Tensor) -> None:
        """Note the change of a module; of `qkv` on all three."""
        if not name.endswith(".qkv"):
            self._note(f"{name}.weight", delta)
            return
        block = name.removesuffix("qkv")
        for part, piece in zip(ATTENTION, delta.chunk(3), strict=True):
            self._note(f"{block}{part}.weight", piece)

    def _note(self, name: str, delta: Tensor) -> None:
        assert self.base[name].shape == delta.shape, name
        self.deltas[name] = delta.double()

    def alpha(self, name: str, value: float) -> None:
        self.tensors[f"{name}.alpha"] = torch.tensor(value)

    def low_rank(
        self, name: str, written: str, rank: int, roles=("lora_A", "lora_B"), scale: float = 1.0
    ) -> Tensor:
        """A pair for one module under a written name; `scale` is what readers must apply."""
        rows, columns = self.fused(name).shape
        down, up = self.random(rank, columns), self.random(rows, rank)
        self.tensors[f"{written}.{roles[0]}.weight"] = down
        self.tensors[f"{written}.{roles[1]}.weight"] = up
        delta = scale * up.double() @ down.double()
        self.change(name, delta)
        return delta

    def merged(self, weight: float = 1.0) -> Weights:
        """The model's weights with the adapter merged, float64."""
        return {
            name: value + weight * self.deltas[name] if name in self.deltas else value
            for name, value in self.base.items()
        }

    def save(self, path: Path, dtype: torch.dtype | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: t.to(dtype) if dtype else t for name, t in self.tensors.items()}
        save_file({name: t.contiguous() for name, t in tensors.items()}, path, self.metadata)
        for name, values in self.beside.items():
            path.with_name(name).write_text(json.dumps(values))
        return path


DOWN_UP = ("lora_down", "lora_up")


def joined(name: str) -> str:
    return name.replace(".", "_")


def original(name: str) -> str:
    """diffusers' name of a module as the original files have it."""
    for theirs, ours in (
        ("all_x_embedder.2-1", "x_embedder"), ("all_final_layer.2-1.", "final_layer."),
        ("attention.to_out.0", "attention.out"),
    ):  # fmt: skip
        name = name.replace(theirs, ours)
    return name


def diffusers_plain(book: Book) -> None:
    for name in EVERYWHERE:
        book.low_rank(name, f"transformer.{name}", 3)


def diffusers_with_metadata(book: Book) -> None:
    for name in USUAL:
        book.low_rank(name, f"transformer.{name}", 4, scale=6 / 4)
    stated = {"transformer.r": 4, "transformer.lora_alpha": 6}
    book.metadata["lora_adapter_metadata"] = json.dumps(stated)


def peft_with_configuration(book: Book) -> None:
    for name in USUAL:
        book.low_rank(name, f"base_model.model.{name}", 4, scale=0.5)
    book.beside["adapter_config.json"] = {"peft_type": "LORA", "r": 4, "lora_alpha": 2}


def peft_with_patterns(book: Book) -> None:
    for name in USUAL:
        alpha = 9 if name == "layers.0.feed_forward.w2" else 3
        book.low_rank(
            name,
            f"base_model.model.transformer.{name}",
            4,
            ("lora_A.default", "lora_B.default"),
            alpha / math.sqrt(4),
        )
    book.metadata["lora_adapter_metadata"] = json.dumps(
        {"r": 4, "lora_alpha": 3, "alpha_pattern": {"0.feed_forward.w2": 9}, "use_rslora": True}
    )


def peft_dora(book: Book) -> None:
    for name in USUAL:
        delta = book.low_rank(name, f"base_model.model.{name}", 2)
        magnitude = book.random(len(delta)).abs() + 0.5
        book.tensors[f"base_model.model.{name}.lora_magnitude_vector"] = magnitude
        book.change(name, decomposed(book.fused(name), delta, magnitude[:, None]))


def decomposed(weight: Tensor, delta: Tensor, magnitude: Tensor) -> Tensor:
    """What DoRA changes, by its paper; the magnitude is [rows, 1] or [1, columns]."""
    whole = weight + delta
    axis = 1 if magnitude.shape[1] == 1 else 0
    return magnitude.double() * whole / whole.norm(dim=axis, keepdim=True) - weight


def diffsynth(book: Book) -> None:
    for name in USUAL:
        book.low_rank(name, name, 3, ("lora_A.default", "lora_B.default"))


def ai_toolkit(book: Book) -> None:
    for name in USUAL:
        book.low_rank(name, f"diffusion_model.{name}", 3)


def ai_toolkit_lokr(book: Book) -> None:
    for name in USUAL:
        kronecker(book, name, f"diffusion_model.{name}")
        book.alpha(f"diffusion_model.{name}", 77.0)


def kronecker(book: Book, name: str, written: str, a: int = 4, b: int = 4) -> None:
    """A full LoKr, which knows no alpha."""
    rows, columns = book.fused(name).shape
    a, b = math.gcd(a, rows), math.gcd(b, columns)
    w1, w2 = book.random(a, b), book.random(rows // a, columns // b)
    book.tensors[f"{written}.lokr_w1"], book.tensors[f"{written}.lokr_w2"] = w1, w2
    book.change(name, torch.kron(w1.double(), w2.double()))


def comfy_native(book: Book) -> None:
    for name in ("layers.0.attention.qkv", "layers.1.attention.qkv", "layers.0.attention.to_out.0",
                 "layers.0.feed_forward.w1", "all_x_embedder.2-1"):  # fmt: skip
        written = f"diffusion_model.{original(name)}"
        book.low_rank(name, written, 4, DOWN_UP, 8 / 4)
        book.alpha(written, 8.0)
    for name in ("layers.0.adaLN_modulation.0", "all_final_layer.2-1.linear"):
        change = book.random(*book.fused(name).shape)
        book.tensors[f"diffusion_model.{original(name)}.diff"] = change
        book.change(name, change)
        bias = book.random(len(change))
        book.tensors[f"diffusion_model.{original(name)}.diff_b"] = bias
        book.deltas[f"{name}.bias"] = bias.double()


def differences_of_vectors(book: Book) -> None:
    names = {
        "layers.0.attention_norm1": "layers.0.attention_norm1.weight",
        "context_refiner.0.ffn_norm2": "context_refiner.0.ffn_norm2.weight",
        "layers.1.attention.q_norm": "layers.1.attention.norm_q.weight",
        "cap_embedder.0": "cap_embedder.0.weight",
        "x_pad_token": "x_pad_token", "cap_pad_token": "cap_pad_token",
    }  # fmt: skip
    for written, name in names.items():
        change = book.random(*book.base[name].shape)
        ending = "w_norm" if "ffn" in written else "diff"
        book.tensors[f"diffusion_model.{written}.{ending}"] = change.flatten()
        book.deltas[name] = change.double()


def kohya(book: Book, prefix: str = "lora_unet_") -> None:
    for name in EVERYWHERE:
        book.low_rank(name, prefix + joined(name), 4, DOWN_UP, 1 / 4)
        book.alpha(prefix + joined(name), 1.0)


def kohya_double_underscore(book: Book) -> None:
    kohya(book, "lora_unet__")


def kohya_alpha_in_metadata(book: Book) -> None:
    for name in USUAL:
        book.low_rank(name, f"lora_unet_{joined(name)}", 4, DOWN_UP, 2.5 / 4)
    book.metadata |= {"ss_network_alpha": "2.5", "ss_network_dim": "4"}


def kohya_fused(book: Book) -> None:
    for name in ("layers.0.attention.qkv", "layers.1.attention.qkv", "layers.1.attention.to_out.0"):
        written = f"lora_unet_{joined(original(name))}"
        book.low_rank(name, written, 4, DOWN_UP, 3 / 4)
        book.alpha(written, 3.0)


def block_diagonal(book: Book) -> None:
    """Split q, k and v joined by a converter: three times the rank, three times alpha."""
    for layer in ("layers.0.attention.", "layers.1.attention."):
        dim, rank = len(book.base[f"{layer}to_q.weight"]), 2
        down, up = book.random(3 * rank, dim), torch.zeros(3 * dim, 3 * rank)
        for index in range(3):
            rows, columns = slice(index * dim, None), slice(index * rank, (index + 1) * rank)
            up[rows][:dim, columns] = book.random(dim, rank)
        written = f"lora_unet_{joined(layer)}qkv"
        book.tensors |= {f"{written}.lora_down.weight": down, f"{written}.lora_up.weight": up}
        book.alpha(written, 3.0)
        book.change(f"{layer}qkv", 0.5 * up.double() @ down.double())


def one_trainer(book: Book) -> None:
    for name in USUAL:
        book.low_rank(name, f"transformer.{name}", 4, DOWN_UP, 2 / 4)
        book.alpha(f"transformer.{name}", 2.0)


def one_trainer_dora(book: Book, *, by_column: bool = True) -> None:
    one_trainer(book)
    for name in USUAL:
        weight = book.fused(name)
        count = weight.shape[1] if by_column else weight.shape[0]
        magnitude = book.random(count).abs() + 0.5
        magnitude = magnitude[None, :] if by_column else magnitude[:, None]
        book.tensors[f"transformer.{name}.dora_scale"] = magnitude
        book.change(name, decomposed(weight, book.deltas[f"{name}.weight"], magnitude))


def one_trainer_dora_by_row(book: Book) -> None:
    one_trainer_dora(book, by_column=False)


def as_convolutions(book: Book) -> None:
    """Every matrix as a convolution of 1 x 1, as converters from other families leave them."""
    one_trainer_dora(book)
    for name in [name for name in book.tensors if not name.endswith("alpha")]:
        book.tensors[name] = book.tensors[name][:, :, None, None]


def fused_dora(book: Book) -> None:
    for by_column, layer in ((True, "layers.0.attention.qkv"), (False, "layers.1.attention.qkv")):
        delta = book.low_rank(layer, f"diffusion_model.{layer}", 3, DOWN_UP)
        rows, columns = delta.shape
        magnitude = book.random(*((1, columns) if by_column else (rows, 1))).abs() + 0.5
        book.tensors[f"diffusion_model.{layer}.dora_scale"] = magnitude
        book.change(layer, decomposed(book.fused(layer), delta, magnitude))


def lycoris_lokr(book: Book) -> None:
    for name in EVERYWHERE:
        kronecker(book, name, f"lycoris_{joined(name)}", 2, 2)


def lokr_factored(book: Book) -> None:
    """w2 as a product, then both as products, then w2 with a core in the middle."""
    for index, name in enumerate(USUAL[:9]):
        rows, columns = book.fused(name).shape
        written, rank = f"lycoris_{joined(name)}", 3
        c, d = math.gcd(4, rows), math.gcd(4, columns)
        w1 = book.random(c, d)
        if index % 3 == 1:
            a, b = book.random(c, rank), book.random(rank, d)
            book.tensors |= {f"{written}.lokr_w1_a": a, f"{written}.lokr_w1_b": b}
            w1 = a.double() @ b.double()
        else:
            book.tensors[f"{written}.lokr_w1"] = w1
        if index % 3 == 2:
            core, a, b = (book.random(rank, n) for n in (rank, rows // c, columns // d))
            book.tensors[f"{written}.lokr_t2"] = core
            w2 = torch.einsum("ij,ip,jr->pr", core.double(), a.double(), b.double())
        else:
            a, b = book.random(rows // c, rank), book.random(rank, columns // d)
            w2 = a.double() @ b.double()
        book.tensors |= {f"{written}.lokr_w2_a": a, f"{written}.lokr_w2_b": b}
        book.alpha(written, 1.5)
        book.change(name, 1.5 / rank * torch.kron(w1.double(), w2))


def lokr_fused(book: Book) -> None:
    for layer in ("layers.0.attention.qkv", "layers.1.attention.qkv"):
        kronecker(book, layer, f"diffusion_model.{layer}", 3, 4)


def lokr_dora(book: Book) -> None:
    for name in USUAL:
        kronecker(book, name, f"lycoris_{joined(name)}")
        delta, weight = book.deltas[f"{name}.weight"], book.fused(name)
        magnitude = book.random(len(weight), 1).abs() + 0.5
        book.tensors[f"lycoris_{joined(name)}.dora_scale"] = magnitude
        book.change(name, decomposed(weight, delta, magnitude))


def loha(book: Book, rank: int = 2, names=USUAL, prefix: str = "lycoris_") -> None:
    for name in names:
        rows, columns = book.fused(name).shape
        written, sides = prefix + joined(name), []
        for side in ("hada_w1", "hada_w2"):
            a, b = book.random(rows, rank), book.random(rank, columns)
            book.tensors |= {f"{written}.{side}_a": a, f"{written}.{side}_b": b}
            sides.append(a.double() @ b.double())
        book.alpha(written, 3.0)
        book.change(name, 3.0 / rank * sides[0] * sides[1])


def loha_of_high_rank(book: Book) -> None:
    loha(book, rank=8)


def loha_fused(book: Book) -> None:
    loha(book, names=("layers.0.attention.qkv", "layers.1.attention.qkv"), prefix="lora_unet_")


def dotted_with_duplicates(book: Book) -> None:
    """Split and fused copies of the same, with dots where others have underscores."""
    roles = ("lora.down", "lora.up")
    for layer in ("layers.0.attention.", "layers.1.attention."):
        written = f"diffusion_model.{layer}"
        book.low_rank(f"{layer}qkv", f"{written}qkv", 3, roles)
        down = book.tensors[f"{written}qkv.lora.down.weight"]
        for part, up in zip(
            "qkv", book.tensors[f"{written}qkv.lora.up.weight"].chunk(3), strict=True
        ):
            book.tensors[f"{written}to.{part}.lora.down.weight"] = down.clone()
            book.tensors[f"{written}to.{part}.lora.up.weight"] = up.clone()
        book.low_rank(f"{layer}to_out.0", f"{written}to_out.0", 3, roles)
        for role in roles:
            copied = book.tensors[f"{written}to_out.0.{role}.weight"]
            book.tensors[f"{written}out.{role}.weight"] = copied.clone()


def whole_prefix(book: Book) -> None:
    for name in USUAL:
        book.low_rank(name, f"model.diffusion_model.{original(name)}", 3, DOWN_UP)


def with_text_encoder(book: Book) -> None:
    kohya(book)
    for index in range(3):
        written = f"lora_te1_model_layers_{index}_self_attn_q_proj"
        book.tensors |= {
            f"{written}.lora_down.weight": book.random(2, 32),
            f"{written}.lora_up.weight": book.random(32, 2),
        }
        book.alpha(written, 2.0)


CORPUS: dict[str, tuple[Callable[[Book], None], str]] = {
    writer.__name__: (writer, dialect)
    for writer, dialect in (
        (diffusers_plain, "diffusers"), (diffusers_with_metadata, "diffusers"),
        (peft_with_configuration, "PEFT"), (peft_with_patterns, "PEFT"), (peft_dora, "PEFT"),
        (diffsynth, "DiffSynth"), (ai_toolkit, "ai-toolkit"), (ai_toolkit_lokr, "ai-toolkit"),
        (comfy_native, "ComfyUI"), (differences_of_vectors, "ComfyUI"), (kohya, "kohya"),
        (kohya_double_underscore, "kohya, double underscore"), (kohya_alpha_in_metadata, "kohya"),
        (kohya_fused, "kohya"), (block_diagonal, "kohya"), (one_trainer, "OneTrainer"),
        (one_trainer_dora, "OneTrainer"), (one_trainer_dora_by_row, "OneTrainer"),
        (as_convolutions, "OneTrainer"), (fused_dora, "ComfyUI"),
        (lycoris_lokr, "LyCORIS"), (lokr_factored, "LyCORIS"),
        (lokr_fused, "ComfyUI"), (lokr_dora, "LyCORIS"), (loha, "LyCORIS"),
        (loha_of_high_rank, "LyCORIS"), (loha_fused, "kohya"),
        (dotted_with_duplicates, "kohya, dotted"), (whole_prefix, "ComfyUI"),
        (with_text_encoder, "kohya"),
    )
}  # fmt: skip
