"""Trains the Demo family on procedurally drawn pictures.

    python -m engine.demo.train vae   --minutes 9  --seed 1
    python -m engine.demo.train base  --minutes 84 --seed 2 --compile
    python -m engine.demo.train turbo --minutes 6  --seed 3 --compile
    python -m engine.demo.train omni  --minutes 62 --seed 4 --compile
    python -m engine.demo.publish

Each part continues from its checkpoint in the working folder; a run of a fixed number of `--steps`
with one seed and one number of processes is reproducible.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import torch
import torch.distributed as dist
from tokenizers import Tokenizer
from torch.multiprocessing.spawn import spawn

from engine.demo.measure import with_measured_scale
from engine.demo.recipe import VAE
from engine.demo.tokenizer import build_tokenizer
from engine.demo.train_flow import Teaching, train_flow
from engine.demo.train_omni import published_base, train_omni
from engine.demo.train_turbo import train_turbo
from engine.demo.train_vae import train_vae
from engine.demo.trainer import Budget, Run, averages
from engine.memory.malloc import keep_freed_memory
from engine.model.vae import Vae

WORKING_FOLDER = Path(".studio") / "training"
TOKENIZER = "tokenizer"
MEASURING_SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line asked for."""

    part: str
    folder: Path
    run: Run
    compiled: bool
    port: int


def checkpoint_file(folder: Path, part: str) -> Path:
    """Return where the checkpoint of `vae`, `base`, `turbo` or `omni` lies."""
    return folder / f"{part}.safetensors"


def trained_vae(folder: Path) -> Vae:
    """Return the trained autoencoder with its latents normalised, frozen."""
    vae = Vae(VAE)
    vae.load_state_dict(averages(checkpoint_file(folder, "vae")))
    return with_measured_scale(vae, MEASURING_SEED).eval().requires_grad_(requires_grad=False)


def main() -> None:
    """Run the command line."""
    order = _order()
    order.folder.mkdir(parents=True, exist_ok=True)
    if not (order.folder / TOKENIZER).exists():
        build_tokenizer(order.folder / TOKENIZER)
    keep_freed_memory(os.environ)
    spawn(_work, (order,), order.run.ranks)


def _order() -> Order:
    parser = argparse.ArgumentParser(prog="python -m engine.demo.train", description=__doc__)
    parser.add_argument("part", choices=list(_PARTS))
    parser.add_argument("--folder", type=Path, default=WORKING_FOLDER, help="working folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="end after this long")
    parser.add_argument("--steps", type=int, help="end after this many steps")
    parser.add_argument("--ranks", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--compile", action="store_true", help="compile; needs a C++ compiler")
    given = parser.parse_args()
    if given.minutes is None and given.steps is None:
        parser.error("give --minutes or --steps")
    run = Run(
        seed=given.seed,
        budget=Budget(steps=given.steps, minutes=given.minutes),
        checkpoint=checkpoint_file(given.folder, given.part),
        ranks=given.ranks,
    )
    return Order(
        part=given.part, folder=given.folder, run=run, compiled=given.compile, port=_free_port()
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _work(rank: int, order: Order) -> None:
    """Do the share of one process."""
    torch.set_num_threads(1)
    level = logging.INFO if rank == 0 else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s")
    if order.run.ranks > 1:
        address = f"tcp://127.0.0.1:{order.port}"
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=order.run.ranks)
    _PARTS[order.part](replace(order, run=replace(order.run, rank=rank)))


def _vae(order: Order) -> None:
    train_vae(order.run)


def _base(order: Order) -> None:
    train_flow(order.run, _teaching(order))


def _turbo(order: Order) -> None:
    start = averages(checkpoint_file(order.folder, "base"))
    train_turbo(order.run, replace(_teaching(order), start=start))


def _omni(order: Order) -> None:
    train_omni(order.run, published_base(), compiled=order.compiled)


def _teaching(order: Order) -> Teaching:
    tokenizer = Tokenizer.from_file(str(order.folder / TOKENIZER / "tokenizer.json"))
    return Teaching(trained_vae(order.folder), tokenizer, compiled=order.compiled)


_PARTS: Mapping[str, Callable[[Order], None]] = MappingProxyType(
    {"vae": _vae, "base": _base, "turbo": _turbo, "omni": _omni}
)


if __name__ == "__main__":
    main()
