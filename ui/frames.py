"""Sends each step of a handler's answer so that no later step changes it on its way."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction


class WholeFrames(gr.Blocks):
    """A page whose updates of parts are sent whole, not as what differs from the step before.

    Gradio's script applies differences to the very object that it has yet to show: of two steps
    that arrive together, the second would take from the first what only that one says, such as
    that a button is to be seen.
    """

    def handle_streaming_diffs(
        self,
        block_fn: BlockFunction,
        data: list[Any],
        session_hash: str | None,
        run: str | None,
        final: bool,
        simple_format: bool = False,
    ) -> list[Any]:
        """Return the step as it is sent; what is no update, such as text, goes as a difference."""
        before = self.pending_diff_streams.get(session_hash, {}).get(run)
        if before is not None and not final:
            before[:] = [None if isinstance(value, dict) else value for value in before]
        answer: list[Any] = super().handle_streaming_diffs(
            block_fn, data, session_hash, run, final, simple_format
        )
        return answer
