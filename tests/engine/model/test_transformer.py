import pytest
import torch
from torch import Tensor

from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer, _time_waves

CONFIG = TransformerConfig(
    dim=48, n_layers=2, n_refiner_layers=1, n_heads=2, cap_feat_dim=20, axes_dims=(8, 8, 8)
)


@pytest.fixture
def transformer() -> Transformer:
    torch.manual_seed(0)
    model = Transformer(CONFIG).eval().requires_grad_(requires_grad=False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def _run(model: Transformer, latents: Tensor, lengths: list[int], time: float = 0.3) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    features = [torch.randn(1, length, 20, generator=generator) for length in lengths]
    captions = [model.refine_caption(one)[0] for one in features]
    context = model.arrange(captions, *latents.shape[-2:])
    return model(latents, model.modulate(torch.tensor([time])), context)


@pytest.mark.parametrize("lengths", [[5, 9], [5, 40]], ids=["dense", "ragged"])
@pytest.mark.parametrize("size", [(8, 8), (6, 10)], ids=["no image pads", "image pads"])
def test_a_picture_in_a_batch_equals_the_picture_alone(
    transformer: Transformer, lengths: list[int], size: tuple[int, int]
) -> None:
    latents = torch.randn(2, 16, *size, generator=torch.Generator().manual_seed(1))
    both = _run(transformer, latents, lengths)
    alone = _run(transformer, latents[:1], lengths[:1])
    assert torch.allclose(both[:1], alone, atol=2e-4, rtol=1e-4)


def test_the_modulation_of_a_schedule_equals_that_of_each_time(transformer: Transformer) -> None:
    table = transformer.modulate(torch.tensor([0.0, 0.25, 0.9]))
    alone = transformer.modulate(torch.tensor([0.25]))
    assert torch.allclose(table.at(1).final_scale, alone.final_scale, atol=1e-6)
    for row, single in zip(table.at(1).layers[1], alone.layers[1], strict=True):
        assert row.shape == (1, 1, 48)
        assert torch.allclose(row, single, atol=1e-4)


def test_rows_padded_to_one_length_get_the_learned_padding(transformer: Transformer) -> None:
    features = torch.randn(2, 12, 20, generator=torch.Generator().manual_seed(3))
    padded = transformer.refine_caption(features, [12, 7])
    alone = transformer.refine_caption(features[1:, :7])
    assert padded.shape == (2, 32, 48)
    assert torch.allclose(padded[1:], alone, atol=1e-4)


def test_the_caption_and_the_time_both_matter(transformer: Transformer) -> None:
    latents = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(1))
    first = _run(transformer, latents, [5])
    assert not torch.allclose(first, _run(transformer, latents, [6]), atol=1e-3)
    assert not torch.allclose(first, _run(transformer, latents, [5], time=0.8), atol=1e-3)


def test_a_target_time_is_told_as_the_way_to_it(transformer: Transformer) -> None:
    times, targets = torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.5, 0.5, 0.0])
    waves = [_time_waves(1000 * t) for t in (times, targets - times)]
    there, way = (transformer.t_embedder(w) for w in waves)
    embedding = there + way * torch.tensor([0.4, 0.0, 0.9])[:, None]
    expected = 1 + transformer.final_modulation(torch.nn.functional.silu(embedding))
    found = transformer.modulate(times, targets)
    assert torch.allclose(found.final_scale[:, 0], expected, atol=1e-4, rtol=1e-4)
    # A step that points at where it stands is a step of the plain model.
    plain = transformer.modulate(times)
    assert torch.allclose(found.at(1).final_scale, plain.at(1).final_scale, atol=1e-5)
    assert not torch.allclose(found.at(0).final_scale, plain.at(0).final_scale, atol=1e-2)


def test_begin_rest_and_end_are_the_forward(transformer: Transformer) -> None:
    latents = torch.randn(2, 16, 8, 12, generator=torch.Generator().manual_seed(1))
    captions = [transformer.refine_caption(torch.randn(1, n, 20))[0] for n in (5, 40)]
    context = transformer.arrange(captions, 8, 12)
    modulation = transformer.modulate(torch.tensor([0.4]))
    with torch.inference_mode():
        before, after = transformer.begin(latents, modulation, context)
        kept = before.clone(), after.clone()
        x = transformer.rest(after, modulation, context)
        found = transformer.end(x, modulation, context, (8, 12))
        right = transformer(latents, modulation, context)
    assert torch.equal(found, right)
    assert torch.equal(kept[0], before)
    assert torch.equal(kept[1], after)
    assert not torch.equal(before, after)


@pytest.mark.parametrize("lengths", [[5, 9], [5, 40]], ids=["dense", "ragged"])
def test_cutting_tokens_into_parts_changes_nothing(
    transformer: Transformer, lengths: list[int]
) -> None:
    latents = torch.randn(2, 16, 32, 32, generator=torch.Generator().manual_seed(1))
    whole = _run(transformer, latents, lengths)
    with torch.inference_mode():
        parts = _run(transformer, latents, lengths)
    assert torch.allclose(parts, whole, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_the_sizes_of_parts_hardly_matter(transformer: Transformer) -> None:
    feed_forward = transformer.layers[0].feed_forward
    x = torch.randn(1, 1300, 48, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([feed_forward(part) for part in x.split(650, dim=1)], dim=1)
    assert torch.allclose(feed_forward(x), alone, atol=1e-3, rtol=1e-4)
