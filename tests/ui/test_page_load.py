"""What the browser is sent when the page is opened; all of it delays the moment it is seen."""

from __future__ import annotations

import json
from typing import Final

import pytest

from ui.api import ENDPOINTS

MOST_COMPONENTS: Final = 400
MOST_EVENTS: Final = 184
MOST_CHARACTERS: Final = 530_000
"""Of what describes them. To open the page takes the browser the longer the more there are, for
it looks at every event for each component, twice: see `tests/benchmarks/page_load.py`."""


@pytest.fixture
def sent(demo) -> dict:
    """What Gradio tells the browser of the page."""
    told = demo.get_config_file()
    page = told["page"][""]
    return {
        name: [one for one in told[name] if one["id"] in page[name]]
        for name in ("components", "dependencies")
    }


def test_the_page_holds_no_more_than_a_browser_opens_at_once(sent):
    assert len(sent["components"]) <= MOST_COMPONENTS
    assert len(sent["dependencies"]) <= MOST_EVENTS
    assert len(json.dumps(sent, default=str)) <= MOST_CHARACTERS


def test_what_only_programs_call_is_not_sent_to_browsers(sent):
    assert [one["id"] for one in sent["components"] if one["type"] == "api"] == []
    names = {event["api_name"] for event in sent["dependencies"]}
    assert names and not names & ENDPOINTS.keys()


def test_no_part_is_told_how_far_an_answer_is(sent):
    events = [event for event in sent["dependencies"] if event["outputs"]]
    assert [event["api_name"] for event in events if event["show_progress_on"] is None] == []
