"""No step of a streamed answer changes what an earlier one says."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from ui.frames import WholeFrames

SKIPPED = {"__type__": "update"}
SHOWN = {"__type__": "update", "visible": True}
TWO_PARTS = SimpleNamespace(outputs=[1, 2])


@pytest.fixture
def page() -> WholeFrames:
    async def build() -> WholeFrames:
        # Gradio leaks an event loop for each lock it makes where none runs.
        return WholeFrames()

    return asyncio.run(build())


def send(page: WholeFrames, data: list, *, final: bool = False) -> list:
    return page.handle_streaming_diffs(TWO_PARTS, data, "session", "run", final)


def test_an_update_is_sent_whole_and_a_text_by_what_is_new(page):
    assert send(page, [dict(SHOWN), "Loading"]) == [SHOWN, "Loading"]
    assert send(page, [dict(SKIPPED), "Loading the model"]) == [
        [["replace", [], SKIPPED]],
        [["append", [], " the model"]],
    ]


def test_an_update_that_stays_as_it_is_goes_whole_too(page):
    send(page, [dict(SHOWN), ""])
    assert send(page, [dict(SHOWN), ""]) == [[["replace", [], SHOWN]], []]


def test_the_end_says_the_last_step_again_and_keeps_nothing(page):
    send(page, [dict(SHOWN), "Loading"])
    send(page, [dict(SKIPPED), "Done"])
    assert send(page, [None, None], final=True) == [SKIPPED, "Done"]
    assert not page.pending_diff_streams.get("session")


def test_an_answer_without_a_session_is_left_alone(page):
    assert page.handle_streaming_diffs(TWO_PARTS, ["a", "b"], None, None, False) == ["a", "b"]


def test_the_page_sends_its_steps_so(served):
    assert isinstance(served._demo, WholeFrames)
