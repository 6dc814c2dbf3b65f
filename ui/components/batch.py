"""What a batch of pictures shows of itself: how far it is, what failed, and its contact sheet."""

from __future__ import annotations

from typing import Final

from engine import ItemReport, ItemState, SeriesReport
from ui import edit_strings as words
from ui import strings
from ui.markup import Markup, jpeg_url, tag

MAX_FAULTS: Final = 50
BATCH_SCRIPT: Final = """
element.addEventListener('click', (event) => {
  const act = event.target.closest('[data-act="enlarge"]');
  if (act) window.atelierEnlarge(act);
});
"""


def batch_markup(report: SeriesReport, *, sheet_url: str = "") -> Markup:
    """Return a batch; nothing before there is one. sheet_url: where its contact sheet is served."""
    if not report.items:
        return Markup("")
    total = len(report.items)
    done, failed = report.count(ItemState.DONE), report.count(ItemState.FAILED)
    said = words.batch_line(done, total, failed)
    over = done + failed + report.count(ItemState.CANCELLED)
    state = (
        "" if not report.ended else words.BATCH_CANCELLED if report.cancelled else words.BATCH_DONE
    )
    parts = [
        tag("p", tag("span", said), tag("span", state, class_="left"), class_="line"),
        tag("progress", max=total, value=over, aria_label=words.BATCH),
        *_running(report.running),
        *_faults(report),
        *_sheet(report, sheet_url),
    ]
    return tag("div", *parts, class_="batch", data_said=said if report.ended else "")


def _running(item: ItemReport | None) -> list[Markup]:
    if item is None:
        return []
    facts = [item.label]
    if item.steps > 1:
        facts.append(words.step_of(item.step, item.steps))
    progress = item.progress
    if progress is not None:
        counted = f" {strings.step(progress.step, progress.total)}" if progress.total else ""
        facts.append(f"{strings.STAGES[progress.stage]}{counted}")
    shown = [tag("p", " · ".join(facts), class_="facts")]
    if progress is not None and progress.preview is not None:
        shown.append(tag("img", src=jpeg_url(progress.preview), alt="", class_="preview"))
    return shown


def _faults(report: SeriesReport) -> list[Markup]:
    failed = [item for item in report.items if item.state is ItemState.FAILED]
    lines = [
        tag("li", tag("strong", item.label, translate="no"), ": ", tag("span", str(item.error)))
        for item in failed[:MAX_FAULTS]
    ]
    return [tag("ul", *lines, class_="faults")] if lines else []


def _sheet(report: SeriesReport, url: str) -> list[Markup]:
    if report.sheet_error is not None:
        why = words.SHEET_FAILED.format(why=report.sheet_error)
        return [tag("p", why, class_="note bad")]
    if report.sheet is None:
        return []
    image = tag("img", src=url, alt=words.SHEET, class_="sheet", loading="lazy")
    frame = tag("div", image, class_="frame", data_act="enlarge")
    large = tag("button", strings.ENLARGE, type="button", data_act="enlarge")
    link = tag("a", words.SHEET_OPEN, href=url, download=report.sheet.name)
    place = tag("p", words.saved_in(str(report.sheet.parent)), class_="facts")
    return [place, tag("figure", frame, tag("div", large, link, class_="actions"))]
