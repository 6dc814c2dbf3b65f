"""Decisions, as tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from string import ascii_lowercase

import pytest
import torch

from engine.checkpoints.open import open_model
from engine.errors import BadRequest
from engine.hardware import Card, Hardware
from engine.images.metadata import make_recipe, read_recipe, write_text
from engine.images.save import encode_png
from engine.memory.choices import WORKSPACE
from engine.memory.plan import Budget, Work
from engine.memory.work import GIB, MIB
from engine.request import MAX_PROMPT_CHARACTERS, MAX_SEED, Precision, Request
from engine.tasks import resolve
from engine.tasks.frame import frame_of
from engine.variants import Variant, by_name


def with_cards(*capabilities):
    cards = [Card(name="", capability=c, total_bytes=0, free_bytes=0) for c in capabilities]
    return Hardware(cards=tuple(cards))


NOTHING = Hardware()
AMPERE = with_cards((8, 6))
TWO_CARDS = with_cards((7, 5), (9, 0))
PASCAL = with_cards((6, 1))
MAC = Hardware(mps=True)


@pytest.mark.parametrize(
    ("wanted", "hardware", "device"),
    [
        ("auto", NOTHING, "cpu"),
        ("auto", AMPERE, "cuda"),
        ("auto", MAC, "mps"),
        ("cpu", AMPERE, "cpu"),
        ("cuda", AMPERE, "cuda"),
        ("cuda:1", TWO_CARDS, "cuda:1"),
        ("mps", MAC, "mps"),
    ],
)
def test_the_device_that_is_there_is_chosen(wanted, hardware, device):
    assert resolve.choose_device(wanted, hardware) == device


@pytest.mark.parametrize(
    ("wanted", "hardware"),
    [("cuda", NOTHING), ("cuda:1", AMPERE), ("mps", NOTHING), ("tpu", AMPERE), ("cuda:x", AMPERE)],
)
def test_a_device_that_is_not_there_is_refused_by_name(wanted, hardware):
    with pytest.raises(BadRequest, match=wanted):
        resolve.choose_device(wanted, hardware)


@pytest.mark.parametrize(
    ("wanted", "device", "hardware", "precision"),
    [
        ("auto", "cpu", NOTHING, "fp32"),
        ("auto", "mps", MAC, "fp32"),
        ("auto", "cuda", AMPERE, "bf16"),
        ("auto", "cuda", TWO_CARDS, "fp16"),
        ("auto", "cuda", PASCAL, "fp32"),
        ("auto", "cuda:1", TWO_CARDS, "bf16"),
        ("fp32", "cuda", AMPERE, "fp32"),
        ("bf16", "cpu", NOTHING, "bf16"),
        ("fp16", "cuda", AMPERE, "fp16"),
    ],
)
def test_the_precision_follows_the_device_unless_it_is_given(wanted, device, hardware, precision):
    assert resolve.choose_precision(Precision(wanted), device, hardware) == precision


def room(checkpoint, device, free, **changes):
    """A place of so many bytes for a picture of 64 x 64."""
    work = Work(width=64, height=64, count=1, evaluations=1, guided=False)
    return resolve.Room(
        checkpoint=checkpoint, work=work, budget=Budget(device=device, device_bytes=free), **changes
    )


CARD = Card(name="Card", capability=(8, 6), total_bytes=GIB, free_bytes=GIB)
OLD_CARD = replace(CARD, capability=(7, 5))


@pytest.mark.parametrize(
    ("device", "hardware", "card", "best"),
    [("cuda", AMPERE, CARD, "bf16"), ("cuda", TWO_CARDS, OLD_CARD, "fp16")],
)
def test_a_card_computes_in_int8_where_it_cannot_keep_the_transformer(
    tiny_model, device, hardware, card, best
):
    checkpoint = open_model(tiny_model)
    ample = room(checkpoint, device, GIB, card=card)
    small = room(checkpoint, device, WORKSPACE, card=card)
    assert resolve.choose_precision(Precision.AUTO, device, hardware, room=ample) == best
    assert resolve.choose_precision(Precision.AUTO, device, hardware, room=small) == "int8"
    assert resolve.choose_precision(Precision(best), device, hardware, room=small) == best


def test_the_cpu_takes_the_most_exact_precision_that_the_model_fits_in(tiny_model):
    checkpoint = open_model(tiny_model)

    def chosen(free, has_bf16):
        place = room(checkpoint, "cpu", free, has_bf16=has_bf16)
        return resolve.choose_precision(Precision.AUTO, "cpu", NOTHING, room=place)

    whole = next(free for free in range(0, GIB, MIB // 8) if chosen(free, False) == "fp32")
    assert chosen(whole, True) == "fp32"
    assert chosen(whole * 7 // 8, True) == "bf16"
    assert chosen(whole * 7 // 8, False) == "int8"
    assert chosen(0, True) == "int8"


def test_a_file_of_integers_stays_int8_however_much_room_there_is(tiny_model):
    place = room(open_model(tiny_model), "cuda", GIB, card=CARD)
    found = resolve.choose_precision(Precision.AUTO, "cuda", AMPERE, stored_int8=True, room=place)
    assert found == "int8"


def test_what_the_request_leaves_open_comes_from_the_variant_and_the_checkpoint(other_model):
    checkpoint = replace(open_model(other_model), shift=4.5)
    full = resolve.complete(Request(prompt="x"), checkpoint, drawn_seed=11)
    assert (full.seed, full.steps, full.guidance_scale, full.shift) == (11, 30, 4.0, 4.5)
    assert (full.width, full.height) == (1024, 1024)


def test_what_the_request_says_stays(other_model):
    asked = Request(prompt="x", seed=0, steps=1, guidance_scale=0.0, shift=1.0, width=64, height=80)
    assert resolve.complete(asked, open_model(other_model), drawn_seed=11) == asked


def test_the_seed_of_the_last_picture_must_fit(tiny_model):
    checkpoint = open_model(tiny_model)
    fits = Request(prompt="x", seed=MAX_SEED - 2, count=3)
    assert resolve.complete(fits, checkpoint, 0).seed == MAX_SEED - 2
    with pytest.raises(BadRequest, match="leaves no room for 3 pictures"):
        resolve.complete(fits.with_values(seed=MAX_SEED - 1), checkpoint, 0)


def notices(variant: str, **values: object) -> list[str]:
    chosen = by_name(variant)
    usual = {
        "steps": chosen.defaults.steps,
        "guidance_scale": chosen.defaults.guidance_scale,
        "width": chosen.defaults.width,
        "height": chosen.defaults.height,
    }
    return told(Request(**{"prompt": "x", **usual, **values}), chosen)


def told(request: Request, variant: Variant) -> list[str]:
    return list(resolve.notices(request, variant, frame_of(request, variant, Path())))


@pytest.mark.parametrize("variant", ["turbo", "base"])
def test_a_usual_request_gives_no_notice(variant):
    assert notices(variant) == []


@pytest.mark.parametrize(
    ("variant", "values", "says"),
    [
        ("turbo", {"negative": "blurry"}, "negative is ignored. A Turbo model"),
        ("turbo", {"cfg_normalization": 1.0}, "cfg_normalization is ignored"),
        ("twinflow-turbo", {"shift": 6.0}, "shift is ignored. TwinFlow was trained on fixed times"),
        ("turbo", {"cfg_truncation": 0.5}, "cfg_truncation is ignored"),
        ("turbo", {"guidance_scale": 2.0}, "made to paint without guidance; at guidance 2"),
        ("turbo", {"steps": 50}, "best with 4 to 12 steps, not 50"),
        ("turbo", {"width": 64}, "64 x 1024 is outside the sizes"),
        ("turbo", {"width": 4096, "height": 4096}, "4096 x 4096 is outside the sizes"),
        ("base", {"guidance_scale": 9.0}, "best with guidance 3 to 5, not 9"),
        ("base", {"guidance_scale": 1.0}, "best with guidance 3 to 5, not 1"),
    ],
)
def test_what_is_ignored_or_unusual_is_said(variant, values, says):
    (notice,) = notices(variant, **values)
    assert says in notice


def test_a_negative_prompt_without_guidance_is_ignored_on_any_model():
    said = notices("base", negative="blurry", guidance_scale=0.0)
    assert said[0] == "negative is ignored. Guidance is 0."


def test_of_many_unknown_words_a_few_are_named_none_at_length():
    words = [f"zz{first}{second}" for first in "qxzvw" for second in ascii_lowercase]
    few = notices("demo-base", prompt=" ".join(words[:8]))[-1]
    assert few.endswith(f": {', '.join(words[:8])}.")
    many = notices("demo-base", prompt=" ".join(["x" * 41, *words]))[-1]
    assert many.endswith(f": {'x' * 40}..., {', '.join(words[:7])} and {len(words) - 7} more.")


def test_the_recipe_of_the_longest_request_is_read_back_with_its_notices():
    longest = "\U0001e900" * MAX_PROMPT_CHARACTERS
    asked = Request(
        prompt=longest, negative=longest, steps=8, guidance_scale=0.0, width=64, height=64
    )
    said = told(asked, by_name("demo-base"))
    assert "never saw these words" in said[-1]
    recipe = make_recipe(asked, model_hash="0", precision="fp32", plan="", warnings=said)
    picture = encode_png(torch.zeros(2, 2, 3, dtype=torch.uint8), write_text(recipe))
    assert read_recipe(picture) == recipe


def test_step_saving_says_where_it_has_no_effect():
    def said(name, **values):
        asked = Request(prompt="a red circle", **{"step_cache": 0.1, **values})
        found = by_name(name)
        whole = asked.with_values(width=found.defaults.width, height=found.defaults.height)
        return [note for note in told(whole, found) if "step_cache" in note]

    (turbo,) = said("demo-turbo", steps=8)
    assert turbo.startswith("step_cache is ignored. A model of few steps")
    (short,) = said("demo-base", steps=5, guidance_scale=4.0)
    assert "no effect on 5 steps" in short
    assert said("demo-base", steps=6, guidance_scale=4.0) == []
    assert said("demo-turbo", steps=8, step_cache=0.0) == []
