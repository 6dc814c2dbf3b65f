"""What was taken from a dropped picture, in words."""

from __future__ import annotations

from collections.abc import Sequence

from engine import Request
from ui import strings
from ui.markup import Markup, tag


def restored_markup(request: Request, title: str, notes: Sequence[str]) -> Markup:
    """Return what was restored, and what was not and why. title: of the model."""
    facts = [title]
    if request.seed is not None:
        facts.append(f"{strings.SEED} {request.seed}")
    if request.steps is not None:
        facts.append(strings.steps(request.steps))
    if request.width and request.height:
        facts.append(f"{request.width} × {request.height}")
    parts = [
        tag("p", tag("strong", strings.RESTORED), class_="line"),
        tag("p", request.prompt, class_="prompt"),
        tag("p", " · ".join(facts), class_="facts"),
    ]
    if notes:
        parts.append(tag("p", tag("strong", strings.NOT_RESTORED), class_="line"))
        parts.append(tag("ul", *(tag("li", note) for note in notes)))
    return tag("div", *parts, class_="restored", role="status")
