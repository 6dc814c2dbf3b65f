"""Measures how much memory loading the full-size model as int8 takes.

`python -m tests.benchmarks.load_peak FOLDER [--float32] [--streamed paged|file] [--layers N]` makes
a model of random weights in FOLDER (12.3 GB; as float32 shards 24.6 GB; less with fewer layers),
loads its transformer in a process of its own, prints the peak of that process's anonymous memory
beside what stays in it, and removes the model. streamed: every piece of it waits in slabs of
ordinary memory, or of a file.
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

SHARDS = 3
ROOM_GIB = 0.5
GIB = 2**30

CHILD = """
import sys
from pathlib import Path
from engine.checkpoints.open import open_model
from engine.memory.ledger import Numbers
from engine.memory.pieces import sizes_of
from engine.memory.plan import Plan, Source
from engine.memory.probe import PeakMemory, anonymous_gib
from engine.memory.studio import Place, Studio
from engine.request import Precision
folder, source = Path(sys.argv[1]), sys.argv[2]
place = Place(device="cpu", precision=Precision.INT8)
checkpoint = open_model(folder)
sizes = sizes_of(checkpoint, Numbers(precision=place.precision, item_bytes=place.dtype.itemsize))
plan = None
if source:
    source = Source(source)
    names = frozenset(piece.name for piece in sizes.pieces)
    plan = Plan(device="cpu", precision="int8", streamed=names, slots=2, source=source)
before = anonymous_gib()
with PeakMemory() as memory:
    model = Studio().model(checkpoint, place, lambda: None, plan, folder)
print(memory.gib - before, anonymous_gib() - before)
"""


def main() -> int:
    """Make, load, measure, remove."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--streamed", choices=("paged", "file"), default="")
    parser.add_argument("--layers", type=int, default=TransformerConfig().n_layers)
    given = parser.parse_args()
    model = given.folder / "full-size-model"
    model.mkdir()
    try:
        make(model, "F32" if given.float32 else "BF16", TransformerConfig(n_layers=given.layers))
        environment = {**os.environ}
        keep_freed_memory(environment)
        command = [sys.executable, "-c", CHILD, str(model), given.streamed]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    finally:
        shutil.rmtree(model)
    peak, stays = map(float, done.stdout.split())
    kind = "float32 shards" if given.float32 else "bfloat16"
    where = f"streamed ({given.streamed})" if given.streamed else "resident"
    sys.stdout.write(
        f"{given.layers} layers of random weights, {kind}, as int8, {where}: peak of anonymous "
        f"memory {peak:.2f} GiB, {stays:.2f} GiB stay (limit {stays + ROOM_GIB:.2f})\n"
    )
    return int(peak > stays + ROOM_GIB)


def make(model: Path, dtype: str, full: TransformerConfig) -> None:
    """Write a model folder whose transformer has the full width, and whose other parts are tiny."""
    save_tokenizer(model / "tokenizer")
    tiny = TransformerConfig(
        **{name: getattr(TRANSFORMER, name) for name in ("dim", "n_layers", "n_heads", "axes_dims")}
    )
    networks = Networks(
        transformer=Transformer(tiny),
        vae=Vae(VAE),
        text_encoder=TextEncoder({**TEXT_ENCODER, "hidden_size": full.cap_feat_dim}),
        tokenizer=model / "tokenizer",
        shift=3.0,
        variant="turbo",
    )
    save_folder(model, networks)
    folder = model / "transformer"
    for file in folder.iterdir():
        file.unlink()
    (folder / "config.json").write_text(json.dumps({"_class_name": "ZImageTransformer2DModel"}))
    planned = list(plan(dtype, full))
    shards = [planned[start::SHARDS] for start in range(SHARDS)]
    table = {}
    for number, shard in enumerate(shards, 1):
        file = folder / f"diffusion_pytorch_model-{number:05}-of-{SHARDS:05}.safetensors"
        write_tensors(file, shard, {"format": "pt"}, fill(shard))
        table |= dict.fromkeys((tensor.name for tensor in shard), file.name)
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": table}))


def plan(dtype: str, full: TransformerConfig) -> Iterator[Planned]:
    """List the tensors of the transformer by diffusers' names."""
    with torch.device("meta"):
        weights = Transformer(full).state_dict()
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
