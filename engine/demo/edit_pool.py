"""Training examples of demo-omni: pictures encoded beforehand, worded anew each time."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor

from engine.demo.drawing import draw_sketch
from engine.demo.edits import (
    EDIT_KINDS,
    EDIT_MIX,
    SHARES,
    Edit,
    EditKind,
    reversed_edit,
    sample_edit,
)
from engine.demo.instructions import instruction
from engine.demo.pool import EMPTY_SHARE, Batch
from engine.demo.recipe import SIZE_SHARES, SIZES
from engine.demo.vision import features_of
from engine.model.config import SEQUENCE_MULTIPLE
from engine.model.omni import Reference
from engine.model.vae import Vae
from engine.model.vision_encoder import VisionEncoder
from engine.tasks.reading import INSTRUCTION, segments_around

ENCODE_AT_ONCE: Final = 16
ALONE: Final = tuple(kind for kind in EDIT_KINDS if kind != "combine")
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class EditBatch:
    """Clean latents [B, 16, h, w], the pictures they are made from, and the prompts' segments.

    tokens: of each segment, [B or 1, P] ids. lengths: of each segment, B true lengths. All P are
    multiples of 32.
    """

    latents: Tensor
    references: tuple[Reference, ...]
    tokens: tuple[Tensor, ...]
    lengths: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An edit with the latents [16, h, w] and features [rows, columns, C] of its pictures."""

    edit: Edit
    latents: tuple[Tensor, ...]
    features: tuple[Tensor, ...]

    def reversed(self) -> Encoded:
        """Return the edit that leads back."""
        return Encoded(reversed_edit(self.edit), self.latents[::-1], self.features[::-1])


@dataclass(frozen=True, slots=True)
class Encoders:
    """The frozen networks that see pictures."""

    vae: Vae
    vision: VisionEncoder

    @torch.no_grad()
    def encode(self, edits: list[Edit], size: Size) -> list[Encoded]:
        """Draw edits of equally many pictures at a size (width, height), and encode them."""
        sketches = [sketch for edit in edits for sketch in (*edit.before, edit.after)]
        pictures = [draw_sketch(sketch, *size) for sketch in sketches]
        latents = self.vae.encode(torch.stack(pictures).float() / 127.5 - 1)
        features = features_of(self.vision, pictures)
        each = len(sketches) // len(edits)
        parts = zip(edits, latents.split(each), features.split(each), strict=True)
        return [Encoded(edit, tuple(seen), tuple(said)) for edit, seen, said in parts]


class EditPool:
    """Edits of one picture or of two, kept by size; a few are replaced on request."""

    def __init__(
        self, encoders: Encoders, count: int, rng: random.Random, *, combined: bool
    ) -> None:
        self._encoders = encoders
        self._combined = combined
        self._by_size: dict[Size, list[Encoded]] = defaultdict(list)
        for size, share in zip(SIZES, SIZE_SHARES, strict=True):
            while len(self._by_size[size]) < count * share:
                self._by_size[size] += self._drawn(size, ENCODE_AT_ONCE, rng)

    def pick(self, rng: random.Random) -> tuple[Size, Encoded]:
        """Return a size and an edit; of one picture, half the time the edit that leads back."""
        size = rng.choices(SIZES, SIZE_SHARES)[0]
        found = rng.choice(self._by_size[size])
        return size, found if self._combined or rng.random() < 0.5 else found.reversed()

    def refresh(self, rng: random.Random, count: int) -> None:
        """Replace `count` edits of one size by new ones."""
        size = rng.choices(SIZES, SIZE_SHARES)[0]
        for example in self._drawn(size, count, rng):
            self._by_size[size][rng.randrange(len(self._by_size[size]))] = example

    def _drawn(self, size: Size, count: int, rng: random.Random) -> list[Encoded]:
        kinds: list[EditKind] = ["combine"] * count
        if not self._combined:
            kinds = rng.choices(ALONE, SHARES, k=count)
        edits = [sample_edit(rng, kind, EDIT_MIX) for kind in kinds]
        return self._encoders.encode(edits, size)


class EditBatcher:
    """Collects edits until a batch of one picture size and one instruction length is full."""

    def __init__(self, tokenizer: Tokenizer, batch: int) -> None:
        self._tokenizer = tokenizer
        self._batch = batch
        self._waiting: dict[tuple[Size, int, int], list[tuple[Encoded, str]]] = defaultdict(list)

    def next(self, pool: EditPool, rng: random.Random) -> EditBatch:
        """Return a batch of a pool's edits whose instructions all pad to the same length."""
        while True:
            size, encoded = pool.pick(rng)
            words = "" if rng.random() < EMPTY_SHARE else instruction(encoded.edit, rng)
            count = len(self._tokenizer.encode(words.join(INSTRUCTION)).ids)
            key = size, -(-count // SEQUENCE_MULTIPLE), len(encoded.edit.before)
            waiting = self._waiting[key]
            waiting.append((encoded, words))
            if len(waiting) == self._batch:
                batch = collated(self._tokenizer, waiting)
                waiting.clear()
                return batch


def collated(tokenizer: Tokenizer, examples: list[tuple[Encoded, str]]) -> EditBatch:
    """Stack edits of one size and equally many pictures, with their instructions."""
    encoded = [one for one, _ in examples]
    pictures = len(encoded[0].edit.before)
    before, behind = segments_around(pictures)
    asked = [words.join(INSTRUCTION) for _, words in examples]
    columns = [_tokens(tokenizer, texts) for texts in (*([text] for text in before), asked)]
    columns.append(_tokens(tokenizer, [behind]))
    count = len(examples)
    return EditBatch(
        latents=torch.stack([one.latents[-1] for one in encoded]),
        references=tuple(
            Reference(
                latents=torch.stack([one.latents[index] for one in encoded]),
                features=torch.stack([one.features[index] for one in encoded]),
            )
            for index in range(pictures)
        ),
        tokens=tuple(tokens for tokens, _ in columns),
        lengths=tuple(lengths * (count // len(lengths)) for _, lengths in columns),
    )


def without_pictures(batch: Batch) -> EditBatch:
    """Return a batch of captioned pictures as one of edits that start from nothing."""
    return EditBatch(batch.latents, (), (batch.tokens,), (tuple(batch.lengths),))


def _tokens(tokenizer: Tokenizer, texts: list[str]) -> tuple[Tensor, tuple[int, ...]]:
    """Return the ids [B, P] of texts, padded to a multiple of 32, and their true lengths."""
    ids = [tokenizer.encode(text).ids for text in texts]
    lengths = tuple(map(len, ids))
    longest = -(-max(lengths) // SEQUENCE_MULTIPLE) * SEQUENCE_MULTIPLE
    return torch.tensor([row + [0] * (longest - len(row)) for row in ids]), lengths
