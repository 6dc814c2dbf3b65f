"""What happens in the queue panel: jobs are moved, cancelled, repeated."""

from __future__ import annotations

from typing import Final

import gradio as gr

from engine import BadRequest, JobState, QueuedJob
from ui.components.queue import QUEUE_SCRIPT, queue_markup
from ui.context import PageContext
from ui.handlers import on, plain_errors
from ui.markup import OPEN_SCRIPT, Markup

Visitor = tuple[str, str]
STEPS: Final = {"up": -1, "down": 1}


def build_queue() -> gr.HTML:
    """Build the panel, not connected yet; it is not seen while there is no job."""
    return gr.HTML(
        "", js_on_load=OPEN_SCRIPT + QUEUE_SCRIPT, elem_id="queue", apply_default_css=False
    )


def connect_queue(page: PageContext, panel: gr.HTML, visitor: gr.State) -> QueueHandlers:
    """Connect the panel, which shows no jobs by itself. visitor: whose are shown."""
    handlers = QueueHandlers(page)
    on(panel.select, handlers.act, [visitor], [panel], each=True)
    return handlers


class QueueHandlers:
    """The handlers of the panel; a visitor sees the jobs of the own browser, and nothing else."""

    def __init__(self, page: PageContext) -> None:
        self._page = page

    def show(self, shown: str, visitor: Visitor) -> dict[str, object] | Markup:
        """Show the jobs, if they differ from those that are shown."""
        now = self._markup(visitor)
        return gr.skip() if now == shown else now

    @plain_errors()
    def act(self, event: gr.EventData, visitor: Visitor) -> Markup:
        """Do what a button says; raise an error of the tree."""
        queue, session = self._page.engine.queue, self._session(visitor)
        job = queue.job(str(event.job), session)
        match event.act:
            case "cancel":
                queue.cancel(job.id, session)
            case "resume":
                queue.resume(job.id, session)
            case "again":
                self._again(job, visitor)
            case "up" | "down" if self._page.owner:
                self._move(job, STEPS[event.act])
            case _:
                raise BadRequest(f"{event.act!r:.40} cannot be done to a job.")
        return self._markup(visitor)

    def _again(self, job: QueuedJob, visitor: Visitor) -> None:
        request = job.request.with_values(seed=None)
        self._page.admit(request)
        self._page.submit(request, visitor[0])

    def _move(self, job: QueuedJob, step: int) -> None:
        queue = self._page.engine.queue
        waiting = [one.id for one in queue.jobs() if one.state is JobState.WAITING]
        if job.id in waiting:
            queue.move(job.id, waiting.index(job.id) + step)

    def _markup(self, visitor: Visitor) -> Markup:
        jobs = self._page.engine.queue.jobs(self._session(visitor))
        return queue_markup(jobs, owner=self._page.owner)

    def _session(self, visitor: Visitor) -> str | None:
        return self._page.session(visitor[0])
