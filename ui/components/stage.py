"""The stage: where a picture is about to appear, comes into being, or failed to."""

from __future__ import annotations

from typing import Final

from engine import ErrorReport, Progress, Result
from ui import strings
from ui.events import JobView
from ui.markup import Markup, jpeg_url, tag

STAGE_SCRIPT: Final = "watch('value', () => window.atelierAnnounce?.(element));"
QUARTERS: Final = 4


def empty_markup(invitation: str = strings.EMPTY_TEXT) -> Markup:
    """Return the invitation that stands where the first picture will be."""
    title = tag("strong", strings.EMPTY_TITLE)
    text = tag("span", invitation)
    return tag("div", tag("div", title, text, class_="frame empty"), class_="stage")


def stage_markup(view: JobView) -> Markup:
    """Return what a job shows of itself."""
    if view.error is not None:
        return _ended(_failure(view.error), *_warnings(view))
    if view.result is not None:
        return _ended(_success(view.result), *_warnings(view))
    if view.cancelled:
        return _ended(tag("p", strings.CANCELLED, class_="line"), said=strings.CANCELLED)
    return _running(view)


def headline(view: JobView) -> str:
    """Say in a few words what a running job does."""
    if view.position is not None:
        return strings.in_line(view.position)
    if view.progress is None:
        return strings.STARTING
    return strings.STAGES[view.progress.stage]


def _running(view: JobView) -> Markup:
    progress = None if view.position is not None else view.progress
    title, left = headline(view), ""
    if progress is not None and progress.total:
        title += f" · {strings.step(progress.step, progress.total)}"
    if progress is not None and progress.eta is not None:
        left = strings.seconds_left(progress.eta)
    line = tag("p", tag("span", title), tag("span", left, class_="left"), class_="line")
    return tag(
        "div",
        line,
        _bar(progress),
        _preview(view),
        *_warnings(view),
        tag("p", strings.YOU_CAN_LEAVE, class_="hint"),
        class_="stage running",
        data_said=_said(view),
    )


def _bar(progress: Progress | None) -> Markup:
    if progress is None or not progress.total:
        return tag("progress", aria_label=strings.GENERATE)
    return tag("progress", max=progress.total, value=progress.step, aria_label=strings.GENERATE)


def _preview(view: JobView) -> Markup:
    if view.preview is None:
        return tag("div", tag("div", class_="shimmer"), class_="frame")
    picture = tag("img", src=jpeg_url(view.preview), alt="", class_="preview")
    return tag("div", picture, class_="frame")


def _said(view: JobView) -> str:
    """Return what a screen reader hears: a new sentence every quarter of the way."""
    progress = view.progress
    if progress is None or not progress.total:
        return headline(view)
    quarter = QUARTERS * progress.step // progress.total * 100 // QUARTERS
    return f"{headline(view)}, {quarter} %"


def _success(result: Result) -> Markup:
    said = strings.done(result.seconds["total"], len(result.pictures))
    return tag("p", tag("span", said), class_="line")


def _failure(error: ErrorReport) -> Markup:
    title = tag("strong", strings.FAILED)
    words = [tag("span", part) for part in (error.message, error.action) if part]
    return tag("div", title, *words, class_="frame failed", role="alert")


def _warnings(view: JobView) -> list[Markup]:
    return [tag("p", text, class_="note warn") for text in view.warnings]


def _ended(*parts: Markup, said: str = "") -> Markup:
    return tag("div", *parts, class_="stage", data_said=said)
