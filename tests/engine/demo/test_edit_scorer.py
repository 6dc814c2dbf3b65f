from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from engine.demo.drawing import draw_sketch
from engine.demo.edit_evaluation import MEASURED, evaluation_edits
from engine.demo.edit_scorer import score_edit
from engine.demo.scenes import Background, Style

COUNT = 54


@pytest.fixture(scope="module")
def asked():
    return evaluation_edits(COUNT, seed=21)


def _of(asked, kind):
    return [(each.edit, each.size) for each in asked if each.edit.kind == kind]


def _softened(picture, generator):
    """Blur by about a pixel and add slight noise, as a small decoder does."""
    blurred = F.avg_pool2d(F.pad(picture.float()[None], (1,) * 4, mode="replicate"), 3, 1)[0]
    noise = 4 * torch.randn(blurred.shape, generator=generator)
    return (blurred + noise).clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("kind", MEASURED)
def test_the_drawn_result_is_done_and_kept(asked, kind):
    for edit, size in _of(asked, kind):
        score = score_edit(draw_sketch(edit.after, *size), edit)
        assert score.done
        assert score.difference == 0.0


@pytest.mark.parametrize("kind", MEASURED)
def test_a_softened_result_is_done_and_kept(asked, kind):
    generator = torch.Generator().manual_seed(0)
    scores = [
        score_edit(_softened(draw_sketch(edit.after, *size), generator), edit)
        for edit, size in _of(asked, kind)
    ]
    assert sum(score.done for score in scores) >= len(scores) - 1
    assert all(score.kept for score in scores)


@pytest.mark.parametrize("kind", MEASURED)
def test_an_unchanged_picture_is_never_done(asked, kind):
    for edit, size in _of(asked, kind):
        for sketch in edit.before:
            assert not score_edit(draw_sketch(sketch, *size), edit).done


@pytest.mark.parametrize("kind", ["recolour", "add", "replace", "move", "combine"])
def test_the_result_of_another_edit_is_not_taken_for_it(asked, kind):
    edits = _of(asked, kind)
    for (edit, size), (other, _) in pairwise(edits):
        assert other.after.scene != edit.after.scene
        assert not score_edit(draw_sketch(other.after, *size), edit).done


def test_the_other_styles_are_refused(asked):
    for edit, size in _of(asked, "style"):
        for style in get_args(Style):
            other = replace(edit.after, scene=replace(edit.after.scene, style=style))
            done = score_edit(draw_sketch(other, *size), edit).done
            assert done == (style == edit.after.scene.style)


@pytest.mark.parametrize("kind", ["recolour", "add", "remove", "replace", "move", "resize"])
def test_a_background_of_another_color_is_not_kept(asked, kind):
    for edit, size in _of(asked, kind):
        scene = edit.after.scene
        ground = "white" if scene.background.colours[0] != "white" else "black"
        spoilt = replace(
            edit.after, scene=replace(scene, background=Background("plain", (ground,)))
        )
        assert not score_edit(draw_sketch(spoilt, *size), edit).kept


def test_an_object_that_changes_with_its_background_is_not_kept(asked):
    for edit, size in _of(asked, "background"):
        spoilt = draw_sketch(edit.after, *size).roll(12, dims=2)
        assert not score_edit(spoilt, edit).kept


def test_what_no_rule_reads_is_refused(asked):
    edit, size = _of(asked, "recolour")[0]
    striped = replace(edit.after.scene, background=Background("striped", ("red", "blue")))
    picture = draw_sketch(edit.after, *size)
    with pytest.raises(ValueError, match="no rule"):
        score_edit(picture, replace(edit, after=replace(edit.after, scene=striped)))
