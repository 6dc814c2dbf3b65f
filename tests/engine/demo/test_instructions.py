from __future__ import annotations

import random
import re

import pytest

from engine.demo.captions import vocabulary
from engine.demo.edits import (
    EDIT_KINDS,
    EDIT_MIX,
    Edit,
    Sketch,
    changed_object,
    giver,
    sample_edit,
)
from engine.demo.instructions import edit_vocabulary, instruction
from engine.demo.scenes import Background, ShapeObject, ShapeScene

WHITE = Background("plain", ("white",))
HEART = ShapeObject("heart", "red", "medium", "left")
STAR = ShapeObject("star", "blue", "medium", "right")
BLUE_HEART = ShapeObject("heart", "blue", "medium", "right")


def _wordings(edit, count=200):
    rng = random.Random(1)
    return {instruction(edit, rng).lower().rstrip(".") for _ in range(count)}


def _sampled(kind, count=40):
    rng = random.Random(2)
    return [sample_edit(rng, kind, EDIT_MIX) for _ in range(count)]


def _scene(*items):
    return Sketch(ShapeScene(WHITE, items), tuple(range(1 + len(items))), crowded=True)


@pytest.mark.parametrize("kind", EDIT_KINDS)
def test_the_vocabulary_holds_every_word_of_every_instruction(kind):
    for edit in _sampled(kind):
        for words in _wordings(edit, 20):
            assert set(re.findall(r"[a-z0-9]+", words)) <= edit_vocabulary()
            assert "{" not in words
            assert "  " not in words


def test_the_vocabulary_of_edits_holds_that_of_captions():
    assert vocabulary() < edit_vocabulary()


@pytest.mark.parametrize("kind", EDIT_KINDS)
def test_an_edit_is_worded_in_several_ways(kind):
    assert len(_wordings(_sampled(kind, 1)[0])) >= 3


def test_a_new_color_is_always_named():
    for edit in _sampled("recolour"):
        new = changed_object(edit)[1]
        names = {"purple": ("purple", "violet"), "cyan": ("cyan", "turquoise"),
                 "gray": ("gray", "grey")}.get(new.colour, (new.colour,))  # fmt: skip
        assert all(any(name in words for name in names) for words in _wordings(edit, 20))


def test_one_of_two_objects_is_pointed_at_by_its_shape():
    edit = Edit("remove", (_scene(HEART, STAR),), _scene(STAR))
    assert all("heart" in words for words in _wordings(edit))


def test_of_two_hearts_the_color_says_which():
    edit = Edit("remove", (_scene(HEART, BLUE_HEART),), _scene(BLUE_HEART))
    assert all("red heart" in words for words in _wordings(edit))


def test_an_object_alone_may_go_without_a_name():
    edit = Edit("remove", (_scene(HEART),), _scene())
    assert any(words == "remove it" for words in _wordings(edit))


def test_what_is_added_beside_an_object_is_placed_by_it():
    edit = Edit("add", (_scene(HEART),), _scene(HEART, STAR))
    wordings = _wordings(edit)
    assert any("right of the red heart" in words for words in wordings)
    assert all("right" in words for words in wordings)


def test_a_step_of_two_sizes_is_much():
    small = ShapeObject("heart", "red", "small", "left")
    large = ShapeObject("heart", "red", "large", "left")
    wordings = _wordings(Edit("resize", (_scene(small),), _scene(large)))
    assert any("much" in words for words in wordings)
    assert not any("small" in words for words in wordings)


def test_pictures_to_combine_are_numbered_from_one():
    for edit in _sampled("combine", 20):
        source, ground = giver(edit) + 1, 2 - giver(edit)
        for words in _wordings(edit, 20):
            assert re.search(rf"background of picture {ground}\b", words)
            assert re.search(rf"(of|from) picture {source}\b", words)
