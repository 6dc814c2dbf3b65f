"""Trains demo-omni: a copy of demo-base learns to change pictures as an instruction says.

The pictures to start from stand in the sequence, clean, beside the noisy one, as with Z-Image Omni
(arXiv 2511.22699). A share of every step is painting from captions alone, in the same form, so that
the model goes on knowing how.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from engine.checkpoints.load import (
    load_text_encoder,
    load_tokenizer,
    load_transformer,
    load_vae,
)
from engine.checkpoints.open import open_model
from engine.demo.edit_pool import EditBatch, EditBatcher, EditPool, Encoders, without_pictures
from engine.demo.pool import Batcher, LatentPool
from engine.demo.recipe import OMNI, OMNI_RATES, TEXT_ENCODER
from engine.demo.scenes import FULL
from engine.demo.train_flow import compile_blocks, flow_loss, training_precision
from engine.demo.trainer import Moment, Run, Trainer
from engine.demo.vision import build_vision_encoder
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import Transformer
from engine.model.vae import Vae
from engine.variants.demo import WEIGHTS

EDITS: Final = 24
CAPTIONED: Final = 16
"""Examples of each sort in a step of one process."""

COMBINED_EVERY: Final = 4
"""Each step of this many is about two pictures."""

PAINTING_WEIGHT: Final = 0.35
POOL: Final = 3000


class Editor(nn.Module):
    """The two networks that learn together."""

    def __init__(self) -> None:
        super().__init__()
        self.text_encoder = TextEncoder(TEXT_ENCODER)
        self.transformer = Transformer(OMNI)

    def velocity(self, latents: Tensor, sigma: Tensor, batch: EditBatch) -> Tensor:
        """Predict the velocity of latents [B, 16, h, w] at sigmas [B]."""
        transformer, count = self.transformer, len(latents)
        features = [self.text_encoder(ids).expand(count, -1, -1) for ids in batch.tokens]
        captions = transformer.refine_segments(features, batch.lengths)
        scenes = transformer.look(captions, batch.references)
        context = transformer.arrange_scenes(scenes, *latents.shape[-2:])
        modulation = transformer.modulate(1 - sigma, clean=True)
        output: Tensor = transformer(latents, modulation, context)
        return -output.float()


@dataclass(frozen=True, slots=True)
class Base:
    """The published demo-base: what demo-omni begins as, by parameter name of `Editor`."""

    vae: Vae
    tokenizer: Tokenizer
    weights: dict[str, Tensor]


def published_base() -> Base:
    """Load demo-base from the repository."""
    found, cpu = open_model(WEIGHTS / "demo-base"), torch.device("cpu")
    learnt = {
        "text_encoder": load_text_encoder(found, torch.float32, cpu),
        "transformer": load_transformer(found, torch.float32, cpu),
    }
    weights = {
        f"{part}.{name}": weight
        for part, network in learnt.items()
        for name, weight in network.state_dict().items()
    }
    vae = load_vae(found, torch.float32, cpu).eval().requires_grad_(requires_grad=False)
    return Base(vae, load_tokenizer(found), weights)


def new_editor(weights: dict[str, Tensor]) -> Editor:
    """Return an editor with these weights; what they lack starts as if trained on captions."""
    editor = Editor()
    transformer = editor.transformer
    nn.init.normal_(transformer.siglip_pad_token, std=0.02)
    editor.load_state_dict({**editor.state_dict(), **weights})
    transformer.siglip_refiner.load_state_dict(transformer.context_refiner.state_dict())
    return editor


def train_omni(run: Run, base: Base, *, compiled: bool) -> dict[str, Tensor]:
    """Train an editor; return the averaged weights by parameter name of `Editor`."""
    torch.manual_seed(run.seed)
    editor = new_editor(base.weights)
    if compiled:
        compile_blocks(editor.text_encoder, editor.transformer)
    trainer = Trainer(editor, OMNI_RATES, run, ema_decay=0.998)
    rng = run.rng("pool", trainer.step)
    encoders = Encoders(base.vae, build_vision_encoder())
    alone = EditPool(encoders, POOL, rng, combined=False)
    combined = EditPool(encoders, POOL // 4, rng, combined=True)
    captioned = LatentPool(base.vae, FULL, POOL // 2, rng)
    edits, captions = EditBatcher(base.tokenizer, EDITS), Batcher(base.tokenizer, CAPTIONED)

    def loss(moment: Moment) -> Tensor:
        chosen = combined if moment.step % COMBINED_EVERY == COMBINED_EVERY - 1 else alone
        chosen.refresh(moment.rng, 1)
        captioned.refresh(moment.rng, 1)
        asked = edits.next(chosen, moment.rng)
        told = without_pictures(captions.next({captioned: 1.0}, moment.rng))
        with training_precision():
            editing = flow_loss(editor.velocity, asked, moment.generator)
            painting = flow_loss(editor.velocity, told, moment.generator)
        return editing + PAINTING_WEIGHT * painting

    return trainer.fit(loss)
