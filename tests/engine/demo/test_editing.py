"""The shipped demo-omni edits pictures it never saw, to the published scores."""

from __future__ import annotations

import pytest

from engine.demo.evaluate_edits import edit, obedience
from engine.request import Request

EDITS = 200
LEAST_DONE, LEAST_KEPT = 0.85, 0.85


@pytest.mark.slow
def test_demo_omni_does_unseen_edits_and_keeps_the_rest(record_property: object) -> None:
    found = obedience([each.score for each in edit(Request(prompt="", model="demo-omni"), EDITS)])
    assert callable(record_property)
    record_property("demo-omni", str(found))
    assert found.done >= LEAST_DONE, found
    assert found.kept >= LEAST_KEPT, found
