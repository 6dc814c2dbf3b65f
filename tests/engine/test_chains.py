"""Chains of edits: walked back, branched, replayed, and found again from their last picture."""

from __future__ import annotations

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from engine import BadRequest, NotFound, Request
from engine.chains import MAX_PICTURES, MAX_STEPS, Chain, Link, trace
from engine.images.metadata import make_recipe, write_text
from engine.inputs import Inputs


def edit(prompt: str, *images: str, **values: object) -> Request:
    return Request(prompt=prompt, images=images, **values)


@pytest.fixture
def tree() -> Chain:
    """A photo with two edits, one of them edited again."""
    chain = Chain(links=(Link(name="photo"),), at="photo")
    chain = chain.grown("red", edit("make it red", "photo", seed=1))
    chain = chain.grown("blue", edit("make it blue", "photo", seed=2))
    return chain.grown("hat", edit("add a hat", "red", "reference", width=128, height=64, seed=3))


def names(links) -> list[str]:
    return [link.name for link in links]


def test_an_empty_chain_stands_nowhere():
    assert Chain().at is None
    assert Chain().children(None) == ()


def test_a_result_hangs_from_the_picture_it_was_made_of(tree):
    assert names(tree.children(None)) == ["photo"]
    assert names(tree.children("photo")) == ["red", "blue"]
    assert names(tree.children("red")) == ["hat"]
    assert tree.find("hat").request.prompt == "add a hat"


def test_results_do_not_move_the_user(tree):
    assert tree.at == "photo"


def test_the_user_walks_back_and_branches(tree):
    walked = tree.walked("red")
    assert walked.at == "red"
    branched = walked.grown("green", edit("make it green", "red"))
    assert names(branched.children("red")) == ["hat", "green"]
    with pytest.raises(NotFound, match="nowhere"):
        tree.walked("nowhere")


def test_the_way_to_a_picture_begins_at_its_origin(tree):
    assert names(tree.way("hat")) == ["photo", "red", "hat"]
    assert names(tree.way("photo")) == ["photo"]


def test_a_picture_made_from_a_stranger_brings_it_along():
    chain = Chain().grown("b", edit("x", "a"))
    assert chain.links[0] == Link(name="a")
    assert names(chain.way("b")) == ["a", "b"]


def test_a_picture_made_from_words_is_an_origin():
    chain = Chain().grown("made", Request(prompt="a cat"))
    assert names(chain.children(None)) == ["made"]


def test_nothing_is_added_twice(tree):
    assert tree.grown("red", edit("again", "blue")) == tree


def test_a_replay_makes_each_step_anew_in_the_size_of_its_input(tree):
    steps = tree.replay("hat")
    assert [step.prompt for step in steps] == ["make it red", "add a hat"]
    assert [step.seed for step in steps] == [1, 3]
    assert steps[1].images == ("red", "reference")
    assert (steps[1].width, steps[1].height, steps[1].count) == (None, None, 1)


def test_an_origin_cannot_be_replayed(tree):
    with pytest.raises(BadRequest, match="begins"):
        tree.replay("photo")
    with pytest.raises(BadRequest, match="begins"):
        Chain().grown("made", Request(prompt="a cat")).replay("made")


def test_a_tree_of_very_many_loses_its_oldest_leaves(tree):
    tree = tree.walked("blue")
    for number in range(MAX_PICTURES):
        tree = tree.grown(str(number), edit("again", "red"))
    assert len(tree.links) == MAX_PICTURES
    assert tree.at == "blue" and tree.has("blue") and tree.has("photo")
    assert not tree.has("hat") and not tree.has("0")
    assert tree.has(str(MAX_PICTURES - 1))
    assert all(link.parent is None or tree.has(link.parent) for link in tree.links)


@pytest.fixture
def inputs(tmp_path) -> Inputs:
    return Inputs(tmp_path)


@pytest.fixture
def keep(tmp_path, inputs):
    """Keep a picture that holds the recipe of a request, or none."""

    def kept(request: Request | None, colour: str = "red") -> str:
        notes = PngInfo()
        if request is not None:
            recipe = make_recipe(request, model_hash="", precision="fp32", plan="", warnings=())
            for word, text in write_text(recipe).items():
                notes.add_text(word, text)
        path = tmp_path / "picture.png"
        Image.new("RGB", (16, 16), colour).save(path, pnginfo=notes)
        return inputs.keep(path)

    return kept


def test_a_chain_is_found_again_from_its_last_picture(keep, inputs):
    photo = keep(None)
    red = keep(edit("make it red", photo, seed=1))
    hat = keep(edit("add a hat", red, seed=2))
    chain = trace(hat, inputs)
    assert names(chain.way(hat)) == [photo, red, hat]
    assert chain.at == hat
    assert [step.prompt for step in chain.replay(hat)] == ["make it red", "add a hat"]


def test_a_chain_begins_where_words_made_the_picture(keep, inputs):
    made = keep(Request(prompt="a cat"))
    hat = keep(edit("add a hat", made))
    assert names(trace(hat, inputs).way(hat)) == [made, hat]
    assert trace(made, inputs).find(made).request.prompt == "a cat"


def test_a_chain_begins_after_a_picture_that_is_lost(keep, inputs):
    photo = keep(None)
    red = keep(edit("make it red", photo))
    inputs.path(photo).unlink()
    assert names(trace(red, inputs).links) == [red]
    assert trace(red, inputs).find(red).parent is None
    with pytest.raises(NotFound):
        trace(photo, inputs)


def test_a_path_in_a_recipe_is_not_looked_at(keep, inputs, tmp_path):
    Image.new("RGB", (16, 16)).save(tmp_path / "secret.png")
    red = keep(edit("make it red", str(tmp_path / "secret.png")))
    assert names(trace(red, inputs).links) == [red]


def test_a_file_that_is_no_picture_is_an_origin(inputs):
    name = inputs.keep(b"no picture")
    assert trace(name, inputs).links == (Link(name=name),)


def test_a_very_long_chain_is_cut(keep, inputs):
    name = keep(None)
    for number in range(MAX_STEPS + 3):
        name = keep(edit("again", name, seed=number))
    chain = trace(name, inputs)
    assert len(chain.links) == MAX_STEPS + 1
    assert len(chain.way(name)) == MAX_STEPS + 1


def test_pictures_that_name_each_other_end(keep, inputs):
    """A forged store: two files whose recipes name one another."""
    first, second = (f"input:{digit * 64}" for digit in "ab")
    for name, other in ((first, second), (second, first)):
        made = inputs.path(keep(edit("again", other)))
        made.rename(made.parent / name.removeprefix("input:"))
    assert names(trace(first, inputs).links) == [second, first]
