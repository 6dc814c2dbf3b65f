"""The line at the top: the product's name and how the engine is."""

from __future__ import annotations

from typing import Final

from engine import Status
from ui import sharing_strings, strings
from ui.markup import Markup, tag

STATUS_SCRIPT: Final = """
const wear = () => {
  const theme = element.querySelector('[data-theme]')?.dataset.theme;
  if (theme) window.atelierTheme(theme);
};
let shelf;
const offer = () => {
  const now = element.querySelector('[data-shelf]')?.dataset.shelf;
  if (now && now !== shelf) trigger('select');
  shelf = now ?? shelf;
};
watch('value', () => { wear(); offer(); });
setInterval(() => { if (!document.hidden) trigger('tick'); }, 2000);
"""
"""Asks for the status every two seconds while the tab is seen, and wears the theme it brings.

Tells by the event `select` that there are other models or adapters on offer.
"""


def title_markup() -> Markup:
    """Return the name of the product, the page's only first heading."""
    return tag("h1", strings.PRODUCT, class_="product")


def status_markup(
    status: Status,
    *,
    theme: str = "",
    shelf: str = "",
    news: str = "",
    live: bool = True,
    shared: bool = False,
) -> Markup:
    """Return the status line: device, memory, state, how many jobs wait, and other news.

    theme: chosen in the settings. shelf: stamp of what is on offer. live: the page answers by now;
    tests look for this mark. shared: guests may come.
    """
    state = strings.STATES.get(status.state, status.state)
    facts = [status.device, status.memory, state]
    if status.queue:
        facts.append(strings.waiting(status.queue))
    facts.append(news)
    parts = [tag("span", fact) for fact in facts if fact]
    if shared:
        parts.append(tag("span", sharing_strings.BADGE, class_="shared"))
    dot = tag("i", class_="dot", aria_hidden="true")
    return tag(
        "p",
        dot,
        *parts,
        class_="status",
        data_state=status.state,
        data_theme=theme or False,
        data_shelf=shelf or False,
        data_ready=live,
    )
