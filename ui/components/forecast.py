"""The line below the button: whether a job fits into the memory, and how long it takes."""

from __future__ import annotations

from typing import Final

from engine import Advice, Fit, Forecast, Remedy
from ui import memory_strings
from ui.markup import Markup, tag

LONG_SECONDS: Final = 600.0
"""From here on a wait is nothing to look forward to."""


def forecast_markup(told: Forecast | None) -> Markup:
    """Return the line for a forecast; nothing where none can be made."""
    if told is None:
        return Markup("")
    how_long = "" if told.seconds is None else memory_strings.seconds(told.seconds)
    sizes = told.needed_bytes, told.budget_bytes
    match told.fit:
        case Fit.FITS:
            is_long = (told.seconds or 0.0) >= LONG_SECONDS
            sentence, kind = memory_strings.fits(*sizes, how_long), "warn" if is_long else "good"
        case Fit.TIGHT:
            sentence, kind = memory_strings.tight(*sizes, how_long), "warn"
        case Fit.IMPOSSIBLE:
            sentence, kind = memory_strings.impossible(*sizes), "bad"
    advice = [_advice(one) for one in told.advice]
    notes = [memory_strings.NOTES[note] for note in told.notes]
    return tag(
        "div",
        tag("p", " ".join([sentence, *advice]), class_=f"note {kind}"),
        tag("p", " ".join(notes), class_="note") if notes else "",
        role="status",
        data_fit=str(told.fit),
    )


def reason_markup(sentence: str) -> Markup:
    """Return the line for a request that cannot be painted."""
    return tag("p", sentence, class_="note warn", role="status")


def _advice(advice: Advice) -> str:
    if advice.remedy is Remedy.SMALLER:
        return memory_strings.smaller(advice.width, advice.height)
    return memory_strings.REMEDIES[advice.remedy]
