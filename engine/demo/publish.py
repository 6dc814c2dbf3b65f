"""Writes the trained Demo models into the repository: `python -m engine.demo.publish`."""

from __future__ import annotations

import argparse
import logging
import random
from pathlib import Path

import torch
from safetensors.torch import save

from engine.checkpoints.export import FILE_MODE, Networks, save_folder
from engine.demo.captions import vocabulary
from engine.demo.drawing import draw
from engine.demo.instructions import edit_vocabulary
from engine.demo.recipe import SHIFT, SIZES
from engine.demo.scenes import FULL, sample_scene
from engine.demo.train import TOKENIZER, WORKING_FOLDER, checkpoint_file, trained_vae
from engine.demo.train_flow import Painter
from engine.demo.train_omni import Editor, published_base
from engine.demo.trainer import averages
from engine.demo.vision import build_vision_encoder
from engine.images.preview import fit_projection
from engine.memory.studio import PREVIEW_FILE
from engine.model.vae import Vae
from engine.storage import atomic_write
from engine.variants.demo import EDIT_VOCABULARY_FILE, VOCABULARY_FILE, WEIGHTS

log = logging.getLogger(__name__)

PREVIEW_PICTURES = 256


def publish(folder: Path, part: str) -> Path:
    """Write the model folder of one trained part, `base`, `turbo` or `omni`; return it."""
    target = WEIGHTS / f"demo-{part}"
    networks = _omni(folder) if part == "omni" else _painter(folder, part)
    save_folder(target, networks)
    projection = target / PREVIEW_FILE
    atomic_write(projection, save({"projection": _projection(networks.vae)}))
    projection.chmod(FILE_MODE)
    return target


def _painter(folder: Path, part: str) -> Networks:
    painter = Painter()
    # A part holds what it trained: the text encoder of turbo is that of base.
    trained = averages(checkpoint_file(folder, "base")) | averages(checkpoint_file(folder, part))
    painter.load_state_dict(painter.state_dict() | trained)
    return Networks(
        transformer=painter.transformer,
        vae=trained_vae(folder),
        text_encoder=painter.text_encoder,
        tokenizer=folder / TOKENIZER,
        shift=SHIFT,
        variant=f"demo-{part}",
    )


def _omni(folder: Path) -> Networks:
    editor = Editor()
    editor.load_state_dict(averages(checkpoint_file(folder, "omni")))
    return Networks(
        transformer=editor.transformer,
        vae=published_base().vae,
        text_encoder=editor.text_encoder,
        tokenizer=WEIGHTS / "demo-base" / "tokenizer",
        shift=SHIFT,
        variant="demo-omni",
        vision=build_vision_encoder(),
    )


@torch.no_grad()
def _projection(vae: Vae) -> torch.Tensor:
    """Fit the preview of `vae` to drawn pictures; returns [17, 3]."""
    rng = random.Random(PREVIEW_PICTURES)  # noqa: S311
    width, height = SIZES[0]
    drawn = [draw(sample_scene(rng, FULL), width, height, rng) for _ in range(PREVIEW_PICTURES)]
    pictures = torch.stack(drawn).float() / 127.5 - 1
    latents = torch.cat([vae.encode(part) for part in pictures.split(16)])
    return fit_projection(latents, pictures).contiguous()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m engine.demo.publish", description=__doc__)
    parser.add_argument("--folder", type=Path, default=WORKING_FOLDER, help="working folder")
    folder = parser.parse_args().folder
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for part in ("base", "turbo", "omni"):
        if checkpoint_file(folder, part).exists():
            log.info("wrote %s", publish(folder, part))
    _write_words(VOCABULARY_FILE, vocabulary())
    _write_words(EDIT_VOCABULARY_FILE, edit_vocabulary())


def _write_words(file: Path, words: frozenset[str]) -> None:
    atomic_write(file, ("\n".join(sorted(words)) + "\n").encode())
    file.chmod(FILE_MODE)


if __name__ == "__main__":
    main()
