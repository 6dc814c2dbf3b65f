"""Measures how much memory loading the full-size model as int8 takes.

`python -m tests.benchmarks.load_peak FOLDER [--float32]` makes a model of random weights in FOLDER
(12.3 GB; as float32 shards 24.6 GB), loads its transformer in a process of its own, prints the peak
of that process's anonymous memory, and removes the model.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from engine.checkpoints.export import Networks, save_folder
from engine.checkpoints.keys import transformer_names
from engine.checkpoints.writer import Planned, write_tensors
from engine.memory.malloc import keep_freed_memory
from engine.model.config import TransformerConfig
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import Transformer
from engine.model.vae import Vae
from tests.tiny import TEXT_ENCODER, TRANSFORMER, VAE, save_tokenizer

FULL = TransformerConfig()
SHARDS = 3
ROOM_GIB = 1.0
GIB = 2**30

CHILD = """
import sys
from pathlib import Path
from engine.checkpoints.open import open_model
from engine.memory.probe import PeakMemory, anonymous_gib
from engine.memory.studio import Place, Studio
from engine.request import Precision
place = Place(device="cpu", precision=Precision.INT8)
checkpoint = open_model(Path(sys.argv[1]))
with PeakMemory() as memory:
    model = Studio().model(checkpoint, place, lambda: None)
networks = (model.transformer, model.text_encoder, model.vae)
tensors = [t for n in networks for t in (*n.parameters(), *n.buffers())]
print(memory.gib, anonymous_gib(), sum(t.numel() * t.element_size() for t in tensors) / 2**30)
"""


def main() -> int:
    """Make, load, measure, remove."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--float32", action="store_true")
    given = parser.parse_args()
    model = given.folder / "full-size-model"
    model.mkdir()
    try:
        make(model, "F32" if given.float32 else "BF16")
        environment = {**os.environ}
        keep_freed_memory(environment)
        command = [sys.executable, "-c", CHILD, str(model)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    finally:
        shutil.rmtree(model)
    peak, after, size = map(float, done.stdout.split())
    kind = "float32 shards" if given.float32 else "bfloat16"
    sys.stdout.write(
        f"6.15 B of random weights, {kind}, as int8: {size:.2f} GiB; peak of anonymous memory "
        f"{peak:.2f} GiB (limit {size + ROOM_GIB:.2f}), {after:.2f} GiB afterwards\n"
    )
    return int(peak > size + ROOM_GIB)


def make(model: Path, dtype: str) -> None:
    """Write a model folder whose transformer has the full size, and whose other parts are tiny."""
    save_tokenizer(model / "tokenizer")
    tiny = TransformerConfig(
        **{name: getattr(TRANSFORMER, name) for name in ("dim", "n_layers", "n_heads", "axes_dims")}
    )
    networks = Networks(
        transformer=Transformer(tiny),
        vae=Vae(VAE),
        text_encoder=TextEncoder({**TEXT_ENCODER, "hidden_size": FULL.cap_feat_dim}),
        tokenizer=model / "tokenizer",
        shift=3.0,
        variant="turbo",
    )
    save_folder(model, networks)
    folder = model / "transformer"
    for file in folder.iterdir():
        file.unlink()
    (folder / "config.json").write_text(json.dumps({"_class_name": "ZImageTransformer2DModel"}))
    planned = list(plan(dtype))
    shards = [planned[start::SHARDS] for start in range(SHARDS)]
    table = {}
    for number, shard in enumerate(shards, 1):
        file = folder / f"diffusion_pytorch_model-{number:05}-of-{SHARDS:05}.safetensors"
        write_tensors(file, shard, {"format": "pt"}, fill(shard))
        table |= dict.fromkeys((tensor.name for tensor in shard), file.name)
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": table}))


def plan(dtype: str) -> Iterator[Planned]:
    """List the tensors of the full-size transformer by diffusers' names."""
    with torch.device("meta"):
        weights = Transformer(FULL).state_dict()
    for ours, weight in weights.items():
        names = transformer_names(ours)
        rows = (weight.shape[0] // len(names), *weight.shape[1:])
        yield from (Planned(name, dtype, rows) for name in names)


def fill(planned: list[Planned]) -> Iterator[tuple[str, Tensor]]:
    """Yield random tensors, all cut from one piece of noise, for speed."""
    largest = max(torch.Size(tensor.shape).numel() for tensor in planned)
    noise = torch.randn(largest, generator=torch.Generator().manual_seed(0)) * 0.02
    for tensor in planned:
        yield tensor.name, noise[: torch.Size(tensor.shape).numel()].reshape(tensor.shape)


if __name__ == "__main__":
    sys.exit(main())
