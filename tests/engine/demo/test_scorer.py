from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from engine.demo.drawing import draw
from engine.demo.evaluation import evaluation_prompts
from engine.demo.scenes import SHAPES, Background, ShapeScene
from engine.demo.scorer import Score, score

WRONG = Score(background=False, colour=False, shape=False, place=False)


def _softened(picture, generator):
    """Blur by 1.2 pixels and add slight noise, as a small decoder does."""
    steps = torch.arange(-4, 5).float()
    weights = torch.exp(-steps.square() / (2 * 1.2**2))
    weights = weights / weights.sum()
    padded = F.pad(picture.float()[:, None], (4, 4, 4, 4), mode="replicate")
    blurred = F.conv2d(padded, weights.view(1, 1, 1, 9))
    blurred = F.conv2d(blurred, weights.view(1, 1, 9, 1))[:, 0]
    noise = torch.randn(blurred.shape, generator=generator)
    return (blurred + 4 * noise).clamp(0, 255).to(torch.uint8)


def _share(scores, part):
    return sum(getattr(score, part) for score in scores) / len(scores)


@pytest.mark.parametrize("size", [(128, 128), (160, 96), (112, 144)])
def test_true_drawings_are_recognised(size):
    prompts = evaluation_prompts(200, seed=11)
    scores = [
        score(draw(prompt.scene, *size, random.Random(index)), prompt.scene)
        for index, prompt in enumerate(prompts)
    ]
    for part in ("background", "colour", "shape", "place"):
        assert _share(scores, part) >= 0.98


def test_softened_drawings_are_recognised():
    generator = torch.Generator().manual_seed(0)
    scores = []
    for index, prompt in enumerate(evaluation_prompts(200, seed=12)):
        picture = draw(prompt.scene, 128, 128, random.Random(index))
        scores.append(score(_softened(picture, generator), prompt.scene))
    assert _share(scores, "shape") >= 0.95
    assert _share(scores, "colour") >= 0.98
    assert _share(scores, "place") >= 0.98


@pytest.mark.parametrize("wanted", SHAPES)
def test_the_seven_other_shapes_are_refused(wanted):
    prompts = [p for p in evaluation_prompts(64, seed=13) if p.scene.objects[0].shape == wanted]
    accepted = []
    for index, prompt in enumerate(prompts):
        for other in SHAPES:
            drawn = replace(prompt.scene.objects[0], shape=other)
            scene = replace(prompt.scene, objects=(drawn,))
            picture = draw(scene, 128, 128, random.Random(index))
            accepted.append((other, score(picture, prompt.scene).shape))
    wrong = [shape for other, shape in accepted if other != wanted]
    assert sum(wrong) / len(wrong) < 0.05
    assert all(shape for other, shape in accepted if other == wanted)


@pytest.mark.parametrize(
    ("part", "change"),
    [("colour", {"colour": "red"}), ("place", {"place": "bottom"}), ("shape", {"shape": "ring"})],
)
def test_each_part_is_refused_by_itself(part, change):
    wanted = evaluation_prompts(1, seed=14)[0].scene
    wanted = replace(
        wanted,
        background=Background("plain", ("white",)),
        objects=(replace(wanted.objects[0], colour="blue", shape="star", place="top left"),),
    )
    shown = replace(wanted, objects=(replace(wanted.objects[0], **change),))
    found = score(draw(shown, 128, 128, random.Random(0)), wanted)
    right = Score(background=True, colour=True, shape=True, place=True)
    assert found == replace(right, **{part: False})


def test_a_wrong_background_is_refused():
    wanted = evaluation_prompts(1, seed=15)[0].scene
    other = next(c for c in ("red", "cyan", "black") if c not in _colours(wanted))
    shown = replace(wanted, background=Background("plain", (other,)))
    found = score(draw(shown, 128, 128, random.Random(0)), wanted)
    assert found == Score(background=False, colour=True, shape=True, place=True)


def _colours(scene):
    return {scene.background.colours[0], scene.objects[0].colour}


def test_an_empty_picture_shows_no_object():
    scene = evaluation_prompts(1, seed=16)[0].scene
    picture = draw(ShapeScene(scene.background, ()), 128, 128, random.Random(0))
    assert score(picture, scene) == replace(WRONG, background=True)


def test_noise_shows_no_shape():
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 256, (3, 128, 128), generator=generator, dtype=torch.uint8)
    for prompt in evaluation_prompts(16, seed=17):
        assert not score(picture, prompt.scene).shape


def test_a_shapeless_blob_is_refused():
    picture = torch.full((3, 128, 128), 248, dtype=torch.uint8)
    picture[:, 40:60, 20:100] = 20
    picture[:, 60:100, 20:40] = 20
    for prompt in evaluation_prompts(16, seed=18):
        assert not score(picture, prompt.scene).shape


def test_a_scene_of_two_objects_cannot_be_scored():
    scene = evaluation_prompts(1, seed=19)[0].scene
    with pytest.raises(ValueError, match="one object"):
        score(
            torch.zeros(3, 128, 128, dtype=torch.uint8), replace(scene, objects=scene.objects * 2)
        )
