"""Trains demo-base: text encoder and transformer together, from scratch, by flow matching."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine.demo.pool import Batch, Batcher, LatentPool
from engine.demo.recipe import FLOW_RATES, TEXT_ENCODER, TRANSFORMER
from engine.demo.scenes import EASY, FULL
from engine.demo.trainer import Moment, Run, Trainer
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import Transformer
from engine.model.vae import Vae
from engine.sampling.schedules import shifted

BATCH = 64
POOL = 6000
TRAINING_SHIFT = 2.0
DETAIL_WEIGHT = 3.0
MOST_SHAPES = 64
"""How many shapes of tensors one function is compiled for."""


class Painter(nn.Module):
    """The two networks that learn together."""

    def __init__(self) -> None:
        super().__init__()
        self.text_encoder = TextEncoder(TEXT_ENCODER)
        self.transformer = Transformer(TRANSFORMER)

    def velocity(self, latents: Tensor, sigma: Tensor, batch: Batch) -> Tensor:
        """Predict the velocity of latents [B, 16, h, w] at sigmas [B]."""
        features = self.text_encoder(batch.tokens)
        captions = self.transformer.refine_caption(features, batch.lengths)
        context = self.transformer.arrange(list(captions), *latents.shape[-2:])
        output: Tensor = self.transformer(latents, self.transformer.modulate(1 - sigma), context)
        return -output.float()


@dataclass(frozen=True, slots=True)
class Teaching:
    """What a run of `train_flow` learns from."""

    vae: Vae
    tokenizer: Tokenizer
    start: dict[str, Tensor] | None = None
    compiled: bool = False


def train_flow(run: Run, teaching: Teaching) -> dict[str, Tensor]:
    """Train a painter; return the averaged weights by parameter name of `Painter`."""
    torch.manual_seed(run.seed)
    painter = Painter()
    _initialise(painter)
    if teaching.start is not None:
        painter.load_state_dict({**painter.state_dict(), **teaching.start})
    if teaching.compiled:
        compile_blocks(painter.text_encoder, painter.transformer)
    trainer = Trainer(painter, FLOW_RATES, run, ema_decay=0.999)
    rng = run.rng("pool", trainer.step)
    easy = LatentPool(teaching.vae, EASY, POOL, rng)
    full = LatentPool(teaching.vae, FULL, POOL, rng)
    batcher = Batcher(teaching.tokenizer, BATCH)

    def loss(moment: Moment) -> Tensor:
        share = max(0.25, 1 - 1.5 * moment.progress)
        for pool in (easy, full):
            pool.refresh(moment.rng, 1)
        batch = batcher.next({easy: share, full: 1 - share}, moment.rng)
        with training_precision():
            return flow_loss(painter.velocity, batch, moment.generator)

    return trainer.fit(loss)


class Clean(Protocol):
    """A batch of clean latents [B, 16, h, w] and what they are to be predicted by."""

    @property
    def latents(self) -> Tensor:
        """Return the clean latents [B, 16, h, w]."""
        ...


_Examples = TypeVar("_Examples", bound=Clean)

Velocity = Callable[[Tensor, Tensor, _Examples], Tensor]


def flow_loss(
    velocity: Velocity[_Examples], batch: _Examples, generator: torch.Generator
) -> Tensor:
    """Return the mean error of the predicted velocity, weighted towards detail (a scalar)."""
    clean = batch.latents
    sigma = sample_sigmas(len(clean), generator)
    noise = torch.randn(clean.shape, generator=generator)
    level = sigma[:, None, None, None]
    error = velocity((1 - level) * clean + level * noise, sigma, batch) - (noise - clean)
    return (error.square() * detail_weight(clean)).mean()


def sample_sigmas(count: int, generator: torch.Generator) -> Tensor:
    """Draw noise levels [count]: logit-normal, spread evenly, shifted; 15 % uniform."""
    even = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    normal = torch.special.ndtri(even.clamp(1e-4, 1 - 1e-4))
    sigma = shifted(normal.sigmoid(), TRAINING_SHIFT)
    uniform = torch.rand(count, generator=generator)
    return torch.where(torch.rand(count, generator=generator) < 0.15, uniform, sigma)


def detail_weight(clean: Tensor) -> Tensor:
    """Weigh cells of [B, 16, h, w] by how far their neighbourhood is from the commonest colour.

    Shapes cover few cells and would hardly count in a plain mean. The mean weight is 1 for each
    picture; returned as [B, 1, h, w].
    """
    median = clean.flatten(2).median(dim=2).values[..., None, None]
    unlike = ((clean - median).square().mean(dim=1, keepdim=True).sqrt() / 0.7).clamp(max=1)
    weight = 1 + DETAIL_WEIGHT * F.max_pool2d(unlike, 3, stride=1, padding=1)
    return weight / weight.mean(dim=(2, 3), keepdim=True)


@contextmanager
def training_precision() -> Iterator[None]:
    """Run matrix products in bfloat16, and attention so that its backward is cheap on the CPU."""
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        yield


def compile_blocks(text_encoder: TextEncoder, transformer: Transformer) -> None:
    """Compile the repeated blocks and the text encoder; few shapes occur, so few are compiled."""
    blocks = (*transformer.noise_refiner, *transformer.context_refiner, *transformer.layers)
    reads_pictures = transformer.config.siglip_feat_dim is not None
    sight = transformer.siglip_refiner if reads_pictures else ()
    for module in (*blocks, *sight, text_encoder):
        module.compile(dynamic=False, recompile_limit=MOST_SHAPES)


def _initialise(painter: Painter) -> None:
    """Start as a function of the time alone: silent output, open gates, small modulation."""
    transformer = painter.transformer
    nn.init.zeros_(transformer.final_linear.weight)
    nn.init.zeros_(transformer.final_linear.bias)
    nn.init.normal_(transformer.x_pad_token, std=0.02)
    nn.init.normal_(transformer.cap_pad_token, std=0.02)
    nn.init.normal_(painter.text_encoder.model.embed_tokens.weight, std=0.5)
    dim = TRANSFORMER.dim
    for block in (*transformer.noise_refiner, *transformer.layers):
        nn.init.normal_(block.modulation.weight, std=0.02)
        nn.init.zeros_(block.modulation.bias)
        with torch.no_grad():
            block.modulation.bias.view(4, dim)[1::2].fill_(0.5)
