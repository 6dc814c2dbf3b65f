"""What saving steps costs: the data that labels show, and the document that explains it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.request import Request
from engine.variants.step_saving import (
    FIRST_STEPS,
    LAST_STEPS,
    MOST_IN_A_ROW,
    STEP_CACHE_CHOICES,
    TRUNCATION_CHOICES,
)

DOCUMENT = Path(__file__).parents[3] / "docs/adr/0021-step-saving.md"
ROW = re.compile(r"\| `(\w+)` ([\d.]+) \| (\d+) % \| (-?[\d.]+) \| ([\d.]+) \|")
CHOICES = {"step_cache": STEP_CACHE_CHOICES, "cfg_truncation": TRUNCATION_CHOICES}


def test_the_document_shows_the_figures_of_the_data():
    shown = [
        (field, float(value), float(saved), float(loss), float(difference))
        for field, value, saved, loss, difference in ROW.findall(DOCUMENT.read_text("utf-8"))
    ]
    assert shown == [
        (field, one.value, pytest.approx(100 * one.saved), one.loss, one.difference)
        for field, choices in CHOICES.items()
        for one in choices
    ]


@pytest.mark.parametrize("field", CHOICES)
def test_choices_are_right_requests_and_save_more_and_more(field):
    saved = [0.0]
    for choice in CHOICES[field]:
        Request(prompt="x", **{field: choice.value})
        saved.append(choice.saved)
        assert choice.difference > 0
    assert saved == sorted(set(saved))


def test_no_more_can_be_saved_than_the_rules_allow():
    free = 20 - FIRST_STEPS - LAST_STEPS
    assert STEP_CACHE_CHOICES[-1].saved <= free * MOST_IN_A_ROW / (MOST_IN_A_ROW + 1) / 20
