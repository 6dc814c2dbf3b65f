"""What the browser is sent when the page is opened; all of it delays the moment it is seen."""

from __future__ import annotations

import pytest

from ui.api import ENDPOINTS


@pytest.fixture
def sent(demo) -> dict:
    """What Gradio tells the browser of the page."""
    told = demo.get_config_file()
    page = told["page"][""]
    return {
        name: [one for one in told[name] if one["id"] in page[name]]
        for name in ("components", "dependencies")
    }


def test_what_only_programs_call_is_not_sent_to_browsers(sent):
    assert [one["id"] for one in sent["components"] if one["type"] == "api"] == []
    names = {event["api_name"] for event in sent["dependencies"]}
    assert names and not names & ENDPOINTS.keys()


def test_no_part_is_told_how_far_an_answer_is(sent):
    events = [event for event in sent["dependencies"] if event["outputs"]]
    assert [event["api_name"] for event in events if event["show_progress_on"] is None] == []
