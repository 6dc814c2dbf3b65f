"""Training examples of the flow model: latents drawn beforehand, captions drawn anew each time."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from engine.demo.captions import caption
from engine.demo.drawing import draw
from engine.demo.recipe import SIZE_SHARES, SIZES
from engine.demo.scenes import Mix, Scene, sample_scene
from engine.model.transformer import SEQUENCE_MULTIPLE
from engine.model.vae import Vae
from engine.prompts.reading import TEMPLATE

EMPTY_SHARE = 0.1
"""Share of examples without a caption: what guidance pushes away from."""

ENCODE_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Batch:
    """Clean latents [B, 16, h, w] and their captions as token ids [B, P] with true lengths [B].

    P is a multiple of 32, so that few shapes occur.
    """

    latents: Tensor
    tokens: Tensor
    lengths: list[int]


class LatentPool:
    """Pictures of one mix, encoded once and kept by size; a few are replaced on request."""

    def __init__(self, vae: Vae, mix: Mix, count: int, rng: random.Random) -> None:
        self._vae = vae
        self._mix = mix
        self._by_size: dict[tuple[int, int], list[tuple[Scene, Tensor]]] = defaultdict(list)
        for size, share in zip(SIZES, SIZE_SHARES, strict=True):
            while len(self._by_size[size]) < count * share:
                self._by_size[size] += self._drawn(size, ENCODE_AT_ONCE, rng)

    def pick(self, rng: random.Random) -> tuple[tuple[int, int], Scene, Tensor]:
        """Return a size, a scene and its latents [16, h, w]."""
        size = rng.choices(SIZES, SIZE_SHARES)[0]
        return (size, *rng.choice(self._by_size[size]))

    def refresh(self, rng: random.Random, count: int) -> None:
        """Replace `count` pictures of one size by new ones."""
        size = rng.choices(SIZES, SIZE_SHARES)[0]
        for example in self._drawn(size, count, rng):
            self._by_size[size][rng.randrange(len(self._by_size[size]))] = example

    @torch.no_grad()
    def _drawn(
        self, size: tuple[int, int], count: int, rng: random.Random
    ) -> list[tuple[Scene, Tensor]]:
        scenes = [sample_scene(rng, self._mix) for _ in range(count)]
        pictures = torch.stack([draw(scene, *size, rng) for scene in scenes])
        latents = self._vae.encode(pictures.float() / 127.5 - 1)
        return list(zip(scenes, latents, strict=True))


class Batcher:
    """Collects examples until a batch of one picture size and one caption length is full."""

    def __init__(self, tokenizer: Tokenizer, batch: int) -> None:
        self._tokenizer = tokenizer
        self._batch = batch
        self._waiting: dict[tuple[tuple[int, int], int], list[tuple[Tensor, list[int]]]] = (
            defaultdict(list)
        )

    def next(self, pools: dict[LatentPool, float], rng: random.Random) -> Batch:
        """Return a batch whose captions all pad to the same length; `pools` maps to shares."""
        while True:
            pool = rng.choices(list(pools), list(pools.values()))[0]
            size, scene, latents = pool.pick(rng)
            words = "" if rng.random() < EMPTY_SHARE else caption(scene, rng)
            ids = self._tokenizer.encode(words.join(TEMPLATE)).ids
            waiting = self._waiting[size, -(-len(ids) // SEQUENCE_MULTIPLE)]
            waiting.append((latents, ids))
            if len(waiting) == self._batch:
                batch = _collate(waiting)
                waiting.clear()
                return batch


def _collate(examples: list[tuple[Tensor, list[int]]]) -> Batch:
    lengths = [len(ids) for _, ids in examples]
    longest = -(-max(lengths) // SEQUENCE_MULTIPLE) * SEQUENCE_MULTIPLE
    tokens = torch.tensor([ids + [0] * (longest - len(ids)) for _, ids in examples])
    return Batch(torch.stack([latents for latents, _ in examples]), tokens, lengths)
