"""Omni against the reference implementation, random weights, float32."""

from __future__ import annotations

import pytest
import torch
from diffusers import ZImageTransformer2DModel
from torch import Tensor

from engine.checkpoints.keys import transformer_names
from engine.model.config import TransformerConfig
from engine.model.omni import Reference
from engine.model.transformer import Transformer
from tests.reference.conftest import fill

CONFIG = TransformerConfig(
    dim=64, n_layers=3, n_refiner_layers=2, n_heads=2, cap_feat_dim=48, axes_dims=(8, 12, 12),
    siglip_feat_dim=24,
)  # fmt: skip
TARGET = (12, 8)
SIZES = ((8, 12), (10, 6), (16, 16))
GRIDS = ((4, 6), (7, 5), (8, 8))
LENGTHS = (5, 33, 2, 40, 64)


class Aligned(ZImageTransformer2DModel):
    """The reference without its one mistake: places of captions that count their padding twice."""

    def _pad_with_ids(self, feat, pos_grid_size, pos_start, device, noise_mask_val=None):
        found = super()._pad_with_ids(feat, pos_grid_size, pos_start, device, noise_mask_val)
        padded, places, *rest = found
        return padded, places[: len(padded)], *rest


def reference_transformer(kind: type[ZImageTransformer2DModel]) -> ZImageTransformer2DModel:
    torch.manual_seed(3)
    made = kind(
        dim=64, n_layers=3, n_refiner_layers=2, n_heads=2, n_kv_heads=2, cap_feat_dim=48,
        axes_dims=[8, 12, 12], axes_lens=[1536, 512, 512], siglip_feat_dim=24,
    ).eval().requires_grad_(requires_grad=False)  # fmt: skip
    fill(made, 0.15)
    return made


def ours_of(theirs: ZImageTransformer2DModel) -> Transformer:
    ours, stored = Transformer(CONFIG).eval(), theirs.state_dict()
    weights = {
        name: torch.cat([stored[piece] for piece in transformer_names(name)])
        for name in ours.state_dict()
    }
    ours.load_state_dict(weights)
    assert sum(map(len, map(transformer_names, weights))) == len(stored)
    return ours.requires_grad_(requires_grad=False)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pictures(count: int) -> list[Reference]:
    return [
        Reference(latents=drawn(1, 16, *size, seed=i), features=drawn(1, *grid, 24, seed=90 + i))
        for i, (size, grid) in enumerate(zip(SIZES[:count], GRIDS[:count], strict=True))
    ]


def segments(lengths: tuple[int, ...], seed: int = 40) -> list[Tensor]:
    return [drawn(1, length, 48, seed=seed + i) for i, length in enumerate(lengths)]


def theirs_says(
    model: ZImageTransformer2DModel, noisy: Tensor, prompts: list[list[Tensor]], count: int
) -> Tensor:
    references, rows = pictures(count), range(len(noisy))
    clean = [each.latents[0].unsqueeze(1) for each in references]
    seen = [*(each.features[0] for each in references), None] if count else None
    said = model(
        x=[[*clean, noisy[row].unsqueeze(1)] for row in rows],
        t=torch.full((len(noisy),), 0.3),
        cap_feats=[[segment[0] for segment in prompt] for prompt in prompts],
        siglip_feats=[seen for _ in rows],
        image_noise_mask=[[0] * count + [1] for _ in rows],
        return_dict=False,
    )[0]
    return torch.stack([each.squeeze(1) for each in said])


def ours_says(model: Transformer, noisy: Tensor, prompts: list[list[Tensor]], count: int) -> Tensor:
    scenes = []
    for prompt in prompts:
        captions = model.refine_segments(prompt, [[part.shape[1]] for part in prompt])
        scenes += model.look(captions, pictures(count))
    context = model.arrange_scenes(scenes, *noisy.shape[-2:])
    return model(noisy, model.modulate(torch.tensor([0.3]), clean=True), context)


def lengths_for(count: int) -> tuple[int, ...]:
    return LENGTHS[: count + 2] if count else LENGTHS[1:2]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_captions_without_padding_go_as_in_the_reference_itself(measured, count):
    theirs = reference_transformer(ZImageTransformer2DModel)
    prompts = [segments((32, 64, 32, 96, 32)[: count + 2] if count else (32,))]
    noisy = drawn(1, 16, *TARGET, seed=7)
    right = theirs_says(theirs, noisy, prompts, count)
    measured(ours_says(ours_of(theirs), noisy, prompts, count), right, 1e-4)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_captions_of_any_length_go_as_in_the_reference_with_aligned_places(measured, count):
    theirs = reference_transformer(Aligned)
    prompts, noisy = [segments(lengths_for(count))], drawn(1, 16, *TARGET, seed=7)
    right = theirs_says(theirs, noisy, prompts, count)
    measured(ours_says(ours_of(theirs), noisy, prompts, count), right, 1e-4)


@pytest.mark.parametrize("other", [(5, 31, 2), (5, 70, 2)], ids=["dense", "ragged"])
def test_two_prompts_with_one_picture_go_as_in_the_reference(measured, other):
    theirs = reference_transformer(Aligned)
    prompts = [segments((5, 20, 2)), segments(other, seed=60)]
    noisy = drawn(2, 16, *TARGET, seed=7)
    right = theirs_says(theirs, noisy, prompts, 1)
    measured(ours_says(ours_of(theirs), noisy, prompts, 1), right, 1e-4)


def test_a_training_batch_goes_as_its_rows_do_alone(measured):
    model = ours_of(reference_transformer(Aligned))
    lengths, noisy = [[5, 5], [20, 31], [2, 2]], drawn(2, 16, *TARGET, seed=7)
    features = [drawn(2, max(each), 48, seed=40 + i) for i, each in enumerate(lengths)]
    latents, seen = drawn(2, 16, 8, 12, seed=1), drawn(2, 4, 6, 24, seed=2)
    times = torch.tensor([0.2, 0.7])

    def says(rows: slice) -> Tensor:
        own = [part[rows, : max(n[rows])] for part, n in zip(features, lengths, strict=True)]
        captions = model.refine_segments(own, [each[rows] for each in lengths])
        pair = [Reference(latents=latents[rows], features=seen[rows])]
        context = model.arrange_scenes(model.look(captions, pair), *TARGET)
        return model(noisy[rows], model.modulate(times[rows], clean=True), context)

    alone = torch.cat([says(slice(0, 1)), says(slice(1, 2))])
    measured(says(slice(None)), alone, 1e-4)


def test_training_reaches_every_weight():
    torch.manual_seed(0)
    model = Transformer(CONFIG)
    captions = model.refine_segments(segments((5, 20, 2)), [[5], [20], [2]])
    context = model.arrange_scenes(model.look(captions, pictures(1)), *TARGET)
    noisy = drawn(1, 16, *TARGET, seed=7)
    model(
        noisy, model.modulate(torch.tensor([0.3]), clean=True), context
    ).square().mean().backward()
    assert [name for name, each in model.named_parameters() if each.grad is None] == []
