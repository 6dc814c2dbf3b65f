"""What happens to a job: it is started, watched, stopped, and found again after a reload."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block

from engine import (
    DRAWN_SEEDS,
    BadRequest,
    Cancelled,
    Done,
    Failed,
    JobState,
    NotFound,
    Picture,
    Request,
    Result,
)
from ui import painter_strings, strings
from ui.components import results, stage
from ui.components.ids import MAIN
from ui.components.results import Shown
from ui.context import PageContext
from ui.events import JobView, watch
from ui.handlers import plain_errors
from ui.markup import file_url
from ui.visitors import new_secret
from ui.wording import requests_of

Updates = dict[Block, Any]

_IDENTITY = re.compile(r"([0-9a-f]{32}) ([0-9a-f]{32})")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobParts:
    """The components that show a job.

    job: id of the job that this tab shows, "" for none. visitor: ids of browser and tab.
    """

    generate: gr.Button
    cancel: gr.Button
    stage: gr.HTML
    results: gr.HTML
    job: gr.State
    shown: gr.State
    visitor: gr.State


class JobHandlers:
    """The handlers of the jobs of one place of the page."""

    def __init__(self, page: PageContext, parts: JobParts, place: str = MAIN) -> None:
        self._page = page
        self._parts = parts
        self._place = place

    async def generate(
        self,
        visitor: tuple[str, str],
        shown: tuple[Shown, ...],
        request: gr.Request,
        **values: object,
    ) -> AsyncIterator[Updates]:
        """Hand the form to the engine, and show its jobs until they end.

        All are accepted at once, so that none is lost when the page is closed.
        """
        with plain_errors():
            jobs = self._submit_all(await self._admitted(values), visitor)
            async for updates in self._watch_all(jobs, shown, request):
                yield updates

    async def compare(
        self,
        visitor: tuple[str, str],
        shown: tuple[Shown, ...],
        request: gr.Request,
        **values: object,
    ) -> AsyncIterator[Updates]:
        """Paint one seed without and with the adapters, and show both side by side."""
        with plain_errors():
            wanted = _one_of_a_pair((await self._admitted(values))[0])
            for one in (wanted.with_values(loras=()), wanted):
                # One after the other, so that whoever stops the first gets no second.
                before, job = shown, self._submit(one, visitor)
                yield self._running(job, shown)
                async for updates in self._watch(job, shown, request):
                    shown = updates.get(self._parts.shown, shown)
                    yield updates
                if shown == before:
                    return
            yield {self._parts.results: results.pair_markup(shown)}

    async def _admitted(self, values: dict[str, object]) -> tuple[Request, ...]:
        """Read the form; files are looked at in a thread, for the page answers others meanwhile."""
        wanted = requests_of(self._page.presets, values)
        for one in wanted:
            await asyncio.to_thread(self._page.admit, one)
        return wanted

    def _submit_all(self, wanted: tuple[Request, ...], visitor: tuple[str, str]) -> list[str]:
        """Hand over all or none: of jobs that are not shown nobody would know."""
        with ExitStack() as undo:
            jobs = []
            for one in wanted:
                jobs.append(self._submit(one, visitor))
                undo.callback(self._page.engine.cancel, jobs[-1])
            undo.pop_all()
        return jobs

    def _submit(self, request: Request, visitor: tuple[str, str]) -> str:
        job = self._page.submit(request, visitor[0])
        self._page.visitors.remember(*visitor, job, self._place)
        return job

    async def attach(self, identity: str, request: gr.Request) -> AsyncIterator[Updates]:
        """Find the job of a page that was loaded again, or of a tab that was closed."""
        with plain_errors():
            visitor = _read_identity(identity)
            known: Updates = {self._parts.visitor: visitor}
            job = self._find_job(*visitor)
            if job is None:
                yield known
                return
            yield known if self._ended(job) else known | self._running(job, ())
            async for updates in self._watch(job, (), request):
                yield updates

    async def _watch(
        self, job: str, shown: tuple[Shown, ...], request: gr.Request
    ) -> AsyncIterator[Updates]:
        """Show a job until it ends; it goes on when nobody looks any more."""
        visit = str(request.session_hash)
        self._page.visitors.look_at(visit, job)
        try:
            async for view in watch(self._page.engine, job):
                yield self._show(view, shown)
        except Exception:
            # A page that cannot show a job must still be able to start the next one.
            yield self._idle() | {self._parts.stage: stage.empty_markup()}
            raise
        finally:
            self._page.visitors.look_away(visit, job)

    async def _watch_all(
        self, jobs: list[str], shown: tuple[Shown, ...], request: gr.Request
    ) -> AsyncIterator[Updates]:
        """Show jobs one after another; whoever stops one wants no more of them."""
        for index, job in enumerate(jobs):
            before = shown
            yield self._running(job, shown)
            async for updates in self._watch(job, shown, request):
                shown = updates.get(self._parts.shown, shown)
                yield updates
            if shown == before:
                for later in jobs[index + 1 :]:
                    self._page.engine.cancel(later)
                return

    @plain_errors()
    def stop(self, job: str) -> Updates:
        """Ask the engine to stop; the watcher shows when it has."""
        self._page.engine.cancel(job)
        return {self._parts.cancel: gr.update(value=strings.CANCELLING, interactive=False)}

    def _find_job(self, browser: str, tab: str) -> str | None:
        own = self._page.visitors.latest(browser, tab, self._place)
        if own is not None:
            return own if self._ended(own) is not None else None
        lost = self._page.visitors.unwatched(browser, self._place)
        return next((job for job in lost if self._ended(job) is False), self._restored(browser))

    def _restored(self, browser: str) -> str | None:
        """Return a job that the program took up again when it started; no tab is known of those."""
        if self._place != MAIN:
            return None
        jobs = self._page.engine.queue.jobs(self._page.session(browser) or "")
        taken = (JobState.RUNNING, JobState.WAITING)
        return next((job.id for job in jobs if job.restored and job.state in taken), None)

    def _ended(self, job: str) -> bool | None:
        """Say whether a job has ended; None for one that the engine has forgotten."""
        try:
            told = self._page.engine.poll(job, 0, 0.0)
        except NotFound:
            return None
        return bool(told) and isinstance(told[-1], Done | Failed | Cancelled)

    def _running(self, job: str, shown: tuple[Shown, ...]) -> Updates:
        return {
            self._parts.job: job,
            self._parts.generate: gr.update(visible=False),
            self._parts.cancel: gr.update(value=strings.CANCEL, interactive=True, visible=True),
            self._parts.stage: stage.stage_markup(JobView()),
            self._parts.results: results.results_markup(shown, compact=True),
        }

    def _show(self, view: JobView, shown: tuple[Shown, ...]) -> Updates:
        updates: Updates = {self._parts.stage: stage.stage_markup(view)}
        if not view.ended:
            return updates
        if view.result is not None:
            shown = (*self._newly_shown(view.result), *shown)[: results.MAX_SHOWN]
        pictures = {self._parts.shown: shown, self._parts.results: results.results_markup(shown)}
        return updates | pictures | self._idle()

    def _idle(self) -> Updates:
        return {
            self._parts.generate: gr.update(visible=True),
            self._parts.cancel: gr.update(visible=False),
        }

    def _newly_shown(self, result: Result) -> tuple[Shown, ...]:
        titles = {model.name: model.title for model in self._page.engine.models()}
        found = []
        for picture in result.pictures:
            path = self._whereabouts(picture.path)
            if path is None:
                continue
            # A copy in the page's own cache: the user's folder itself is never served.
            cached = self._parts.results.move_resource_to_block_cache(path)
            request = picture.recipe.get("request")
            model = str(request.get("model", "")) if isinstance(request, dict) else ""
            found.append(
                Shown(
                    url=file_url(str(cached)),
                    name=path.name,
                    path=path,
                    model=titles.get(model, model),
                    width=picture.width,
                    height=picture.height,
                    seconds=result.seconds["total"],
                    recipe=picture.recipe,
                    outside=_kept(picture),
                )
            )
        return tuple(found)

    def _whereabouts(self, path: Path) -> Path | None:
        """Return where a picture lies, whose folder may have been moved since; None = nowhere."""
        moved = self._page.engine.settings.output_folder / path.name
        return next((one for one in (path, moved) if one.is_file()), None)


def _kept(picture: Picture) -> str:
    found = picture.outside
    return "" if found is None else painter_strings.outside(found.changed, found.pixels)


def _one_of_a_pair(request: Request) -> Request:
    """Return the request of a comparison: one picture, and a seed to paint it twice."""
    if not any(lora.weight for lora in request.loras):
        raise BadRequest(strings.COMPARE_NOTHING, strings.COMPARE_NOTHING_ACTION)
    seed = secrets.randbelow(DRAWN_SEEDS) if request.seed is None else request.seed
    return request.with_values(seed=seed, count=1)


def _read_identity(text: str) -> tuple[str, str]:
    """Read the ids of browser and tab that the page sends; make them up where it sends none."""
    found = _IDENTITY.fullmatch(text)
    return (found[1], found[2]) if found else (new_secret(), new_secret())
