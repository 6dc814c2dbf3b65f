"""Trains the Demo autoencoder on crops of freshly drawn pictures."""

from __future__ import annotations

import math
import random

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.demo.drawing import draw
from engine.demo.recipe import SIZES, VAE, VAE_RATES
from engine.demo.scenes import FULL, sample_scene
from engine.demo.trainer import Moment, Run, Trainer
from engine.model.vae import Vae
from engine.model.vae_layers import ResnetBlock, SpatialAttention

LATENT_NOISE = 0.1
"""Fixed standard deviation of the posterior: a decoder that tolerates it makes smooth latents."""

CROP = 64
BATCH = 16
POOL = 1536
FRESH_PER_STEP = 2


def train_vae(run: Run) -> Vae:
    """Train an autoencoder; its scale and shift are left at 1 and 0."""
    torch.manual_seed(run.seed)
    vae = Vae(VAE)
    _start_as_identity(vae)
    trainer = Trainer(vae, VAE_RATES, run, ema_decay=0.998)
    pool = PicturePool(run.rng("pool", trainer.step))
    average = trainer.fit(lambda moment: _loss(vae, pool.batch(moment), moment))
    vae.load_state_dict({**vae.state_dict(), **average})
    return vae


class PicturePool:
    """Drawn pictures, a few of them replaced at every step."""

    def __init__(self, rng: random.Random) -> None:
        self._pictures = [_picture(rng) for _ in range(POOL)]

    def batch(self, moment: Moment) -> Tensor:
        """Return crops [B, 3, 64, 64] (late in the run sometimes whole pictures) in -1..1."""
        rng = moment.rng
        for _ in range(FRESH_PER_STEP):
            self._pictures[rng.randrange(POOL)] = _picture(rng)
        if rng.random() < 0.15:
            first = rng.choice(self._pictures)
            whole = [p for p in rng.sample(self._pictures, 64) if p.shape == first.shape]
            return _to_signed(torch.stack([first, *whole[:3]]))
        return _to_signed(
            torch.stack([_crop(rng.choice(self._pictures), rng) for _ in range(BATCH)])
        )


def _loss(vae: Vae, pictures: Tensor, moment: Moment) -> Tensor:
    mean = vae.encode(pictures)
    noise = torch.randn(mean.shape, generator=moment.generator)
    restored = vae.decode(mean + LATENT_NOISE * noise)
    error = F.mse_loss(restored, pictures) + 0.1 * F.l1_loss(restored, pictures)
    return error + 3e-5 * mean.square().mean()


def _start_as_identity(vae: Vae) -> None:
    """Silence every residual branch, so that the first steps train the main path alone."""
    for module in vae.modules():
        if isinstance(module, ResnetBlock):
            torch.nn.init.zeros_(module.stage2.conv.weight)
        if isinstance(module, SpatialAttention):
            torch.nn.init.zeros_(module.out.weight)
    moments = vae.encoder.out.conv
    torch.nn.init.zeros_(moments.weight[VAE.latent_channels :])
    if moments.bias is not None:
        torch.nn.init.constant_(moments.bias[VAE.latent_channels :], 2 * math.log(LATENT_NOISE))


def _picture(rng: random.Random) -> Tensor:
    if rng.random() < 0.05:
        coarse = torch.randint(0, 256, (3, 8, 8), generator=_torch_rng(rng)).float()
        smooth = F.interpolate(coarse[None], size=(128, 128), mode="bicubic")[0]
        return smooth.clamp(0, 255).to(torch.uint8)
    width, height = rng.choice(SIZES)
    return draw(sample_scene(rng, FULL), width, height, rng)


def _crop(picture: Tensor, rng: random.Random) -> Tensor:
    top = rng.randint(0, picture.shape[1] - CROP)
    left = rng.randint(0, picture.shape[2] - CROP)
    crop = picture[:, top : top + CROP, left : left + CROP]
    return crop.flip(-1) if rng.random() < 0.5 else crop


def _to_signed(pictures: Tensor) -> Tensor:
    return pictures.float() / 127.5 - 1


def _torch_rng(rng: random.Random) -> torch.Generator:
    return torch.Generator().manual_seed(rng.getrandbits(60))
