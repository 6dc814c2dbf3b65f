"""The models of the Settings tab: which there are, what fetching one takes, how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine import (
    Availability,
    DownloadPlan,
    DownloadProgress,
    DownloadState,
    DownloadStatus,
    ModelEntry,
)
from ui import strings
from ui.markup import Markup, tag

LIST_SCRIPT: Final = """
element.addEventListener('click', ({ target }) => {
  const act = target.closest('[data-act]')?.dataset.act, row = target.closest('[data-model]');
  if (act) trigger('select', {
    act, name: row.dataset.model, precision: row.querySelector('[data-precision]')?.value ?? '',
  });
});
"""
DOWNLOAD_SCRIPT: Final = """
element.addEventListener('click', ({ target }) => {
  const act = target.closest('[data-act]')?.dataset.act;
  if (act) trigger('select', { act });
});
setInterval(() => {
  if (!document.hidden && element.querySelector('[data-running]')) trigger('tick');
}, 1000);
"""
"""Asks how far a download is once a second while one runs and the page is seen."""

ACTIONS: Final = {
    DownloadStatus.RUNNING: (("pause", strings.PAUSE), ("cancel", strings.STOP_DOWNLOAD)),
    DownloadStatus.PAUSED: (("resume", strings.RESUME), ("cancel", strings.STOP_DOWNLOAD)),
    DownloadStatus.FAILED: (("resume", strings.TRY_AGAIN), ("cancel", strings.STOP_DOWNLOAD)),
}
"""What can be done about a download, by what it does."""


def list_markup(models: Sequence[ModelEntry]) -> Markup:
    """Return every model: what it is, and what can be done about it."""
    return tag("ul", *(_model(model) for model in models), class_="models")


def plan_markup(plan: DownloadPlan, fault: str = "") -> Markup:
    """Return what a download will do, to be agreed to. fault: why it cannot."""
    facts = [
        (strings.PLAN_TO, f"{plan.folder} ({strings.free(plan.free)})"),
        (strings.PLAN_FETCH, strings.fetched_from(plan.fetch_bytes, plan.endpoint)),
    ]
    if plan.reused_bytes:
        facts.append((strings.PLAN_REUSED, strings.file_size(plan.reused_bytes)))
    facts.append((strings.PLAN_LICENCE, plan.licence))
    rows = [part for name, text in facts for part in (tag("dt", name), tag("dd", text))]
    title = strings.planned(plan.title, plan.precision, plan.total_bytes, len(plan.files))
    start = _button("start", strings.FETCH)
    last = tag("p", fault, class_="note bad", role="alert") if fault else start
    return tag(
        "div",
        tag("p", title, class_="line"),
        tag("dl", *rows),
        _files(plan),
        tag("div", last, _button("forget", strings.NEVER_MIND), class_="actions"),
        class_="plan",
        role="status",
    )


def search_markup() -> Markup:
    """Return what stands for a plan while files are looked at, which may take minutes."""
    line = tag("p", strings.SEARCHING, class_="note", role="status")
    stop = tag("div", _button("forget", strings.NEVER_MIND), class_="actions")
    return tag("div", line, stop, class_="plan")


def download_markup(state: DownloadState) -> Markup:
    """Return how the download is, nothing where there is none."""
    if state.plan is None or state.status is DownloadStatus.IDLE:
        return Markup("")
    running = state.status is DownloadStatus.RUNNING
    title = strings.DOWNLOADS[state.status].format(title=state.plan.title)
    left = state.progress.seconds_left if state.progress is not None and running else None
    said = strings.seconds_left(left) if left is not None else ""
    parts = [tag("p", tag("span", title), tag("span", said, class_="left"), class_="line")]
    if state.status not in {DownloadStatus.DONE, DownloadStatus.CANCELLED}:
        parts.append(_progress(state.progress, running=running))
    if state.error is not None:
        words = " ".join(filter(None, (state.error.message, state.error.action)))
        parts.append(tag("p", words, class_="note bad", role="alert"))
    buttons = [_button(act, text) for act, text in ACTIONS.get(state.status, ())]
    if buttons:
        parts.append(tag("div", *buttons, class_="actions"))
    return tag("div", *parts, class_="download", data_running=running)


def percent(state: DownloadState) -> int | None:
    """Return how much of a running download is done, None where none runs."""
    if state.status is not DownloadStatus.RUNNING or state.progress is None:
        return None
    return 100 * state.progress.done // max(1, state.progress.total)


def _model(model: ModelEntry) -> Markup:
    facts = [strings.AVAILABILITY[model.availability]]
    if model.precision:
        facts.append(strings.PRECISIONS.get(model.precision, model.precision))
    if model.size:
        facts.append(strings.file_size(model.size))
    named = tag("p", model.title, class_="line", translate="no")
    parts = [named, tag("p", " · ".join(facts), class_="facts")]
    if model.note:
        bad = model.availability is Availability.DAMAGED
        parts.append(tag("p", model.note, class_="note bad" if bad else "note"))
    words = tag("div", *parts)
    return tag("li", words, *_doings(model), class_="model", data_model=model.name)


def _doings(model: ModelEntry) -> list[Markup]:
    if model.added:
        remove = tag(
            "button", strings.REMOVE_MODEL, type="button", data_act="remove",
            aria_label=strings.remove_model(model.title),
        )  # fmt: skip
        return [tag("div", remove, class_="actions")]
    here = model.availability is Availability.HERE
    if here or not model.variant.downloads:
        return []
    options = [tag("option", str(d.precision)) for d in model.variant.downloads]
    name = strings.precision_of(model.title)
    choice = tag("select", *options, data_precision=True, aria_label=name)
    plan = tag(
        "button", strings.PLAN, type="button", data_act="plan",
        aria_label=strings.plan_for(model.title),
    )  # fmt: skip
    return [tag("div", choice, plan, class_="actions")]


def _files(plan: DownloadPlan) -> Markup:
    items = [
        tag("li", strings.planned_file(file.step, file.source.to, file.source.size, file.original))
        for file in plan.files
    ]
    return tag("details", tag("summary", strings.PLAN_FILES), tag("ul", *items))


def _progress(progress: DownloadProgress | None, *, running: bool) -> Markup:
    if progress is None:
        return tag("progress", aria_label=strings.FETCH) if running else Markup("")
    bar = tag("progress", max=progress.total, value=progress.done, aria_label=strings.FETCH)
    facts = [strings.bytes_done(progress.done, progress.total)]
    if running:
        facts += [strings.speed(progress.bytes_per_second), progress.file]
    return tag("div", bar, tag("p", " · ".join(facts), class_="facts"))


def _button(act: str, text: str) -> Markup:
    return tag("button", text, type="button", data_act=act)
