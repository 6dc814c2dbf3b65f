"""How the page's handlers are connected, and how their errors become sentences."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.events import Dependency

from engine import BugError, StudioError
from ui import strings
from ui.markup import escape

ERROR_SECONDS: Final = 12.0
QUIET: Final[Mapping[str, Any]] = MappingProxyType(
    {"show_progress": "hidden", "show_progress_on": (), "api_visibility": "private"}
)
"""What every event of the page has: no spinner, and no name for other programs.

Gradio tells each part that it shows progress on of each step of an answer, though the spinner be
hidden; so there is no such part.
"""

_log = logging.getLogger(__name__)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn an error into a sentence that the page shows; what nobody foresaw goes to the log.

    Gradio writes messages into the page as HTML and shows none at all for other exceptions.
    """
    try:
        yield
    except gr.Error:
        raise
    except StudioError as error:
        raise _shown(error) from error
    except Exception as error:
        _log.exception("a handler of the page failed")
        raise _shown(BugError(strings.BUG, strings.BUG_ACTION)) from error


def on(
    event: Callable[..., Dependency],
    handler: Callable[..., Any],
    inputs: Sequence[Component] = (),
    outputs: Sequence[Block] = (),
    *,
    at_once: bool = False,
    each: bool = False,
) -> Dependency:
    """Have a handler answer an event, without a spinner.

    at_once: past Gradio's queue, for what must never wait, and for what the page asks by itself:
    the end of one queued answer may cut the line of another that just begins. An error is then a
    failed request, which browsers note in their console; so this is for handlers that have none to
    tell. each: answer also what comes while an earlier one of the event is being answered; else the
    page drops it.
    """
    return event(
        handler,
        list(inputs),
        list(outputs),
        queue=not at_once,
        trigger_mode="multiple" if each else None,
        concurrency_limit=None,
        **QUIET,
    )


def on_any(
    events: Sequence[Callable[..., Dependency]],
    handler: Callable[..., Any],
    inputs: Sequence[Component],
    outputs: Sequence[Block],
) -> Dependency:
    """Have a handler answer several events past Gradio's queue; of many at once, the last."""
    dependency: Dependency = gr.on(
        list(events),
        handler,
        list(inputs),
        list(outputs),
        queue=False,
        trigger_mode="always_last",
        **QUIET,
    )
    return dependency


def changes(parts: Iterable[Component]) -> list[Callable[..., Dependency]]:
    """Return the events of parts that change; Gradio gives those to its components as it runs."""
    return [getattr(part, "change") for part in parts]  # noqa: B009


def _shown(error: StudioError) -> gr.Error:
    said = escape(str(error))
    return gr.Error(said, ERROR_SECONDS, title=strings.ERROR, print_exception=False)
