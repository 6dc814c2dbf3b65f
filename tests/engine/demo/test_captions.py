from __future__ import annotations

import random
import re
import subprocess
import sys
from dataclasses import replace

from engine.demo.captions import caption, vocabulary
from engine.demo.scenes import (
    COLOUR_NAMES,
    EASY,
    FULL,
    SHAPES,
    Background,
    Boat,
    House,
    ShapeObject,
    ShapeScene,
    Sky,
    WorldScene,
    sample_scene,
)

RING = ShapeScene(Background("plain", ("blue",)), (ShapeObject("ring", "red", "small", "top"),))
HARBOUR = WorldScene(
    "night",
    "bay",
    "golden",
    "watercolor",
    Sky("left", stars=True, clouds=False),
    House("red", "right"),
    Boat("yellow", "center"),
    None,
)


def _many(count, mix, seed=0):
    rng = random.Random(seed)
    return [caption(sample_scene(rng, mix), rng) for _ in range(count)]


def _wordings(scene, count=300):
    rng = random.Random(1)
    return [caption(scene, rng) for _ in range(count)]


def test_the_vocabulary_holds_every_word_of_every_caption():
    words = set(re.findall(r"[a-z]+", " ".join(_many(20000, FULL)).lower()))
    assert words <= vocabulary()


def test_nearly_every_word_of_the_vocabulary_is_said():
    words = set(re.findall(r"[a-z]+", " ".join(_many(20000, FULL)).lower()))
    assert vocabulary() - words == set()


def test_the_vocabulary_names_all_shapes_and_colours():
    assert {*SHAPES, *COLOUR_NAMES} <= vocabulary()
    assert "turtle" not in vocabulary()


def test_captions_are_tidy():
    for text in _many(5000, FULL, seed=2):
        assert not re.search(r"\{|\}|  | ,| \.|,,|,$|^[ ,]|\ba a|\ba an", text), text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text.lower()), text
        assert text == text.strip()


def test_a_caption_is_worded_anew_each_time():
    assert len(set(_wordings(RING))) > 100


def test_the_same_generator_gives_the_same_words():
    assert _wordings(RING) == _wordings(RING)


def test_a_caption_names_the_object_and_nearly_always_the_background():
    texts = [text.lower() for text in _wordings(RING)]
    assert all("red ring" in text for text in texts)
    assert 0.85 < sum("blue" in text for text in texts) / len(texts) < 1.0


def test_two_objects_keep_their_order_in_words():
    left = ShapeObject("star", "red", "medium", "left")
    right = ShapeObject("cross", "cyan", "medium", "right")
    scene = ShapeScene(Background("plain", ("black",)), (left, right))
    for text in _wordings(scene):
        found = re.search(r"(star|cross|plus)\b.*?(to the left|left|right)\b", text.lower())
        assert found is not None
        says_left = "left" in found.group(2)
        assert (found.group(1) == "star") == says_left, text


def test_above_and_below_are_told_apart():
    top = ShapeObject("star", "red", "medium", "top")
    bottom = ShapeObject("heart", "cyan", "medium", "bottom")
    scene = ShapeScene(Background("plain", ("black",)), (top, bottom))
    for text in _wordings(scene):
        found = re.search(r"(star|heart)\b.*?(above|below|under|top|bottom)\b", text.lower())
        assert found is not None
        assert (found.group(1) == "star") == (found.group(2) in ("above", "top")), text


def test_a_landscape_is_named_with_its_time_style_and_things():
    texts = [text.lower() for text in _wordings(HARBOUR)]
    assert all("night" in text for text in texts)
    assert all(re.search("house|cottage", text) for text in texts)
    assert all(re.search("boat|sailboat", text) for text in texts)
    assert all(re.search("watercolou?r|painting", text) for text in texts)
    assert all("golden hills" in text for text in texts)


def test_a_caption_never_names_what_the_landscape_lacks():
    bare = replace(HARBOUR, sky=Sky(None, stars=False, clouds=False), house=None, boat=None)
    for text in _wordings(bare):
        assert not re.search("moon|star|cloud|house|cottage|boat|tree|sun", text.lower()), text


def test_easy_captions_use_the_same_vocabulary():
    words = set(re.findall(r"[a-z]+", " ".join(_many(2000, EASY)).lower()))
    assert words <= vocabulary()


def test_captions_do_not_need_torch():
    code = (
        "import sys, engine.demo.captions, engine.demo.evaluation;assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
