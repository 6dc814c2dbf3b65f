"""A download that goes nowhere: tests say how far it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine import BadRequest, DownloadPlan, DownloadProgress, Downloads, DownloadState, Precision
from engine import DownloadStatus as Status
from engine.errors import ErrorReport
from engine.hub.plan import PlannedFile, Step
from engine.variants import by_name

GB = 10**9


class FakeDownloads(Downloads):
    """Obeys every button, and fetches nothing."""

    def start(self, plan: DownloadPlan) -> None:
        if self._state.status in {Status.RUNNING, Status.PAUSED}:
            raise BadRequest(f"{plan.title} is being downloaded.", "Wait for it, or cancel it.")
        self._state = DownloadState(status=Status.RUNNING, plan=plan)

    def pause(self) -> None:
        self._state = replace(self._state, status=Status.PAUSED)

    def resume(self) -> None:
        self._state = replace(self._state, status=Status.RUNNING, error=None)

    def cancel(self) -> None:
        self._state = replace(self._state, status=Status.CANCELLED)

    def close(self) -> None:
        self._state = DownloadState()

    def reach(self, done: int, total: int) -> None:
        """Have so many bytes come."""
        progress = DownloadProgress(
            file="transformer/<x>.safetensors",
            done=done,
            total=total,
            bytes_per_second=45.2e6,
            seconds_left=(total - done) / 45.2e6,
        )
        self._state = replace(self._state, progress=progress)

    def fail(self, message: str, action: str) -> None:
        """End as a download does that cannot go on."""
        error = ErrorReport(code="network", exit_code=2, message=message, action=action)
        self._state = replace(self._state, status=Status.FAILED, error=error)

    def finish(self) -> None:
        """End as a download does that has everything."""
        self._state = replace(self._state, status=Status.DONE)


def make_plan(name: str, precision: Precision, folder: Path, free: int) -> DownloadPlan:
    """Plan to fetch a model of which the text encoder is here already."""
    variant = by_name(name)
    download = next(d for d in variant.downloads if d.precision is precision)
    encoder = folder.parent / "ComfyUI" / "qwen_3_4b.safetensors"
    files = tuple(
        PlannedFile(
            source=source,
            path=folder / source.to,
            step=Step.LINK if "encoder" in source.to else Step.FETCH,
            original=encoder if "encoder" in source.to else None,
        )
        for source in download.files
    )
    return DownloadPlan(
        variant=variant.name, title=variant.title, licence=variant.licence, precision=precision,
        folder=folder, endpoint="https://huggingface.co", files=files, free=free,
    )  # fmt: skip
