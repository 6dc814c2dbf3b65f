"""The line at the top: the product's name and how the engine is."""

from __future__ import annotations

from engine import Status
from ui import strings
from ui.markup import Markup, tag


def title_markup() -> Markup:
    """Return the name of the product, the page's only first heading."""
    return tag("h1", strings.PRODUCT, class_="product")


def status_markup(status: Status, *, live: bool = True) -> Markup:
    """Return the status line: device, memory, state, and how many jobs wait.

    live: the page answers by now; tests and style sheets look for the mark that this leaves.
    """
    state = strings.STATES.get(status.state, status.state)
    facts = [status.device, status.memory, state]
    if status.queue:
        facts.append(strings.waiting(status.queue))
    parts = [tag("span", fact) for fact in facts if fact]
    dot = tag("i", class_="dot", aria_hidden="true")
    return tag("p", dot, *parts, class_="status", data_state=status.state, data_ready=live)
