"""What is given up when memory runs out: in order, once each, and only what helps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.errors import OutOfMemory
from engine.events import Stage
from engine.memory.ladder import RETRIES, SAID, Rung, Shortage, Terms, next_rung
from engine.memory.work import Decode, Plan, Wish
from engine.request import Precision

NAMES = frozenset(f"transformer.layers.{number}" for number in range(8))
ENCODER = frozenset({"text_encoder.model.layers.0", "text_encoder.model.layers.1"})
PLAIN = Plan(device="cuda", precision="bf16", batch=4, peak_bytes=9, budget_bytes=10)
TERMS = Terms(wish=Wish(), precision=Precision.BF16)


def replan(terms: Terms) -> Plan:
    """A planner that does as it is told, and fills what is left."""
    wish = terms.wish
    streamed = NAMES if wish.no_residents else frozenset()
    return replace(
        PLAIN,
        precision=str(terms.precision),
        streamed=streamed | (ENCODER if wish.stream_encoder else frozenset()),
        keep_encoder=not wish.stream_encoder,
        batch=min(wish.batch or 4, 4),
        decode=Decode(rows=16, on_host=True) if wish.tile else Decode(),
        peak_bytes=1,
    )


def climb(stage: Stage, plan: Plan = PLAIN, terms: Terms = TERMS, **shortage) -> list[Rung]:
    """Every rung that a job is given where it fails in the same stage every time."""
    tried: list[Rung] = []
    where = Shortage(stage=stage, **shortage)
    while (given := next_rung(where, plan, terms, tried, replan)) is not None:
        tried.append(given.rung)
        plan, terms = given.plan, given.terms
    return tried


@pytest.mark.parametrize(
    ("stage", "rungs"),
    [
        (Stage.LOADING, [Rung.STREAM, Rung.STREAM_ENCODER, Rung.INT8]),
        (Stage.ENCODING, [Rung.STREAM, Rung.STREAM_ENCODER, Rung.INT8]),
        (Stage.PREPARING, [Rung.TILE, Rung.STREAM, Rung.STREAM_ENCODER]),
        (Stage.DENOISING, [Rung.STREAM, Rung.STREAM_ENCODER, Rung.SMALLER_BATCH]),
        (Stage.DECODING, [Rung.TILE, Rung.STREAM, Rung.STREAM_ENCODER]),
        (Stage.SAVING, []),
    ],
)
def test_each_stage_gives_up_what_it_can_do_without_in_this_order(stage, rungs):
    assert climb(stage) == rungs


def test_a_job_gets_three_retries_at_most():
    assert RETRIES == 3
    tried = [Rung.TILE, Rung.STREAM, Rung.STREAM_ENCODER]
    assert next_rung(Shortage(stage=Stage.DENOISING), PLAIN, TERMS, tried, replan) is None


def test_what_was_given_up_in_another_stage_is_not_tried_again():
    given = next_rung(Shortage(stage=Stage.DENOISING), PLAIN, TERMS, [Rung.STREAM], replan)
    assert given.rung is Rung.STREAM_ENCODER


def test_what_is_not_there_cannot_be_given_up():
    terms = replace(TERMS, wish=Wish(no_residents=True, batch=1))
    rungs = [Rung.STREAM_ENCODER, Rung.INT8]
    assert climb(Stage.DENOISING, replan(terms), terms) == rungs


def test_a_precision_that_the_user_chose_is_kept():
    assert Rung.INT8 not in climb(Stage.LOADING, terms=replace(TERMS, may_round=False))


def test_int8_cannot_become_int8():
    terms = Terms(wish=Wish(), precision=Precision.INT8)
    assert Rung.INT8 not in climb(Stage.LOADING, replan(terms), terms)


def test_finished_latents_are_not_painted_again_in_another_precision():
    assert Rung.INT8 not in climb(Stage.DECODING)


def test_concessions_add_up():
    first = next_rung(Shortage(stage=Stage.DENOISING), PLAIN, TERMS, [], replan)
    assert first.plan.streamed == NAMES
    second = next_rung(
        Shortage(stage=Stage.DECODING), first.plan, first.terms, [first.rung], replan
    )
    assert second.rung is Rung.TILE
    assert (second.plan.streamed, second.plan.decode.on_host) == (NAMES, True)


@pytest.mark.parametrize(
    ("stage", "rung"), [(Stage.DECODING, Rung.TILE), (Stage.DENOISING, Rung.SMALLER_BATCH)]
)
def test_a_rung_that_moves_no_weight_keeps_the_model_whatever_a_new_plan_would_do(stage, rung):
    def greedy(terms: Terms) -> Plan:
        return replace(replan(terms), slots=3, streamed=frozenset({"transformer.layers.0"}))

    tried = [] if rung is Rung.TILE else [Rung.STREAM, Rung.STREAM_ENCODER]
    given = next_rung(Shortage(stage=stage), PLAIN, TERMS, tried, greedy)
    assert given.rung is rung
    assert given.keeps_model
    assert (given.plan.slots, given.plan.streamed) == (PLAIN.slots, PLAIN.streamed)
    assert given.plan != PLAIN


def test_a_batch_is_halved():
    tried = [Rung.STREAM, Rung.STREAM_ENCODER]
    given = next_rung(Shortage(stage=Stage.DENOISING), PLAIN, TERMS, tried, replan)
    assert (given.plan.batch, given.terms.wish.batch) == (2, 2)


def test_int8_leaves_nothing_on_the_device_that_could_be_streamed():
    given = next_rung(
        Shortage(stage=Stage.LOADING), PLAIN, TERMS, [Rung.STREAM, Rung.STREAM_ENCODER], replan
    )
    assert given.rung is Rung.INT8
    assert not given.keeps_model
    assert given.plan.precision == "int8"
    assert given.terms.wish.no_residents


def test_a_plan_that_cannot_be_made_is_passed_over():
    def picky(terms: Terms) -> Plan:
        if terms.wish.no_residents and terms.precision is not Precision.INT8:
            raise OutOfMemory("No room in the computer's memory.")
        return replan(terms)

    given = next_rung(Shortage(stage=Stage.LOADING), PLAIN, TERMS, [], picky)
    assert given.rung is Rung.STREAM_ENCODER


def test_the_computers_memory_is_not_asked_for_more_where_it_is_what_ran_out():
    assert climb(Stage.DENOISING, of_host=True) == [Rung.INT8]
    assert climb(Stage.DECODING, of_host=True) == []
    on_host = replace(PLAIN, device="cpu")
    given = next_rung(Shortage(stage=Stage.LOADING, of_host=True), on_host, TERMS, [], replan)
    assert given.rung is Rung.STREAM


def test_a_prediction_alone_is_no_other_plan():
    def same(_terms: Terms) -> Plan:
        return replace(PLAIN, peak_bytes=5, budget_bytes=6, seconds=7.0, batch=4)

    given = next_rung(Shortage(stage=Stage.LOADING), PLAIN, TERMS, [], same)
    assert given is None


def test_every_rung_has_words_for_the_user():
    assert set(SAID) == set(Rung)
