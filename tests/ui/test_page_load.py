"""What the browser is sent when the page is opened: all of it costs time before the page is seen."""

from __future__ import annotations

import pytest


@pytest.fixture
def sent(demo) -> dict:
    """What Gradio tells the browser of the page."""
    return demo.get_config_file()


def test_no_part_is_told_how_far_an_answer_is(sent):
    events = [event for event in sent["dependencies"] if event["outputs"] and event["targets"]]
    assert [event["api_name"] for event in events if event["show_progress_on"] is None] == []
