"""The queue: what is painted, what waits, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine import JobState, QueuedJob
from ui import history_strings as words
from ui.markup import Markup, tag

MAX_PROMPT: Final = 120
QUEUE_SCRIPT: Final = """
let focused = '';
const buttons = () => [...element.querySelectorAll('[data-act]')];
const key = (button) => `${button.dataset.act} ${button.dataset.job}`;
element.addEventListener('focusin', ({ target }) => {
  focused = target.dataset.act ? key(target) : '';
});
element.addEventListener('focusout', (event) => { if (event.relatedTarget) focused = ''; });
element.addEventListener('click', (event) => {
  const act = event.target.closest('[data-act]');
  if (act) trigger('select', { act: act.dataset.act, job: act.dataset.job });
});
watch('value', () => {
  if (focused) buttons().find((button) => key(button) === focused)?.focus();
});
"""
"""Keeps the focus where it is while the words in the list change."""


def queue_markup(jobs: Sequence[QueuedJob], *, owner: bool) -> Markup:
    """Return the list of jobs, closed at first; nothing at all without any.

    owner: may move jobs; others see and cancel their own.
    """
    if not jobs:
        return Markup("")
    waiting = [job.id for job in jobs if job.state is JobState.WAITING]
    rows = [_row(job, waiting, owner=owner) for job in jobs]
    summary = tag("summary", f"{words.QUEUE}: {words.jobs(len(jobs))}")
    return tag("details", summary, tag("ol", *rows), class_="queue")


def _row(job: QueuedJob, waiting: list[str], *, owner: bool) -> Markup:
    prompt = " ".join(job.request.prompt.split())
    prompt = prompt if len(prompt) <= MAX_PROMPT else f"{prompt[:MAX_PROMPT]}…"
    place = waiting.index(job.id) if job.id in waiting else -1
    facts = [_state(job, place), job.request.model]
    if owner and job.session:
        facts.append(words.GUEST)
    told = tag("span", " · ".join(facts), class_="facts")
    what = tag(
        "span", prompt or words.NO_PROMPT, class_="what", translate="no" if prompt else False
    )
    buttons = [
        _button(job, act, sign, words.of_job(text, prompt), off=off)
        for act, sign, text, off in _acts(job, place, len(waiting), owner=owner)
    ]
    return tag("li", tag("div", what, told), tag("span", *buttons, class_="acts"))


def _acts(
    job: QueuedJob, place: int, waiting: int, *, owner: bool
) -> list[tuple[str, str, str, bool]]:
    """Return each button: what it does, its sign, its name, and whether it can do nothing now."""
    acts = []
    if job.state is JobState.STOPPED:
        acts.append(("resume", "▶", words.RESUME, False))
    if owner and job.state is JobState.WAITING:
        acts.append(("up", "↑", words.MOVE_UP, place == 0))
        acts.append(("down", "↓", words.MOVE_DOWN, place == waiting - 1))
    acts.append(("again", "+1", words.AGAIN, False))
    acts.append(("cancel", "×", words.CANCEL, False))
    return acts


def _button(job: QueuedJob, act: str, sign: str, name: str, *, off: bool) -> Markup:
    return tag(
        "button", sign, type="button", data_act=act, data_job=job.id, aria_label=name, title=name,
        disabled=off,
    )  # fmt: skip


def _state(job: QueuedJob, place: int) -> str:
    if job.state is JobState.STOPPED:
        return words.STOPPED
    if place >= 0:
        return words.place(place + 1)
    return words.step(job.progress.step, job.progress.total) if job.progress else words.RUNNING
