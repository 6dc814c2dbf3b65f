"""Watches a picture while it is painted: progress, previews, cancel, and numbers gone wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from torch import Tensor

from engine.errors import NumericalError
from engine.events import Stage
from engine.images.preview import Preview
from engine.jobs.order import Step


class Watch:
    """What happens after every step of one job; use it as a context manager.

    check: raises if the job was cancelled. total: steps of all batches together. pause: least
    seconds between two previews, 0 = none.
    """

    def __init__(
        self,
        emit: Callable[[Step], None],
        check: Callable[[], None],
        preview: Preview,
        precision: str,
        total: int,
        pause: float,
    ) -> None:
        self._emit = emit
        self._check = check
        self._preview = preview
        self._precision = precision
        self._total = total
        self._pause = pause
        self._done = 0
        self._began = time.monotonic()
        self._previewed = self._began
        self._helper = ThreadPoolExecutor(1, thread_name_prefix="preview")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        """Tell that no step is done yet."""
        self._emit(self._step())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the preview that is being made, so that none comes after the stage's end."""
        self._helper.shutdown(wait=True)
        if error is None and self._pending is not None:
            self._pending.result()

    def after_step(self, step: int, clean: Tensor) -> None:
        """Look at the predicted clean latents [B, 16, h, w] after a step; may raise.

        Reading the check's answer also keeps the program from running ahead of a graphics card,
        which would make a cancel late.
        """
        self._check()
        self._done += 1
        if not clean.isfinite().all():
            raise NumericalError(
                f"Step {self._done} of {self._total} while denoising in {self._precision} gave "
                "numbers that are no picture (NaN or infinity).",
                "Use --precision fp32 or bf16; if that does not help, lower the guidance.",
            )
        self._emit(self._step())
        if self._done < self._total:
            self._offer_preview(clean)

    def _step(self, preview: bytes | None = None) -> Step:
        """Describe how far the job is; the time left is judged by the steps so far."""
        passed = time.monotonic() - self._began
        eta = passed / self._done * (self._total - self._done) if self._done else None
        return Step(
            stage=Stage.DENOISING, step=self._done, total=self._total, eta=eta, preview=preview
        )

    def _offer_preview(self, clean: Tensor) -> None:
        """Have a preview of the first picture made by the helper, unless it is still busy."""
        now = time.monotonic()
        busy = self._pending is not None and not self._pending.done()
        if not self._pause or busy or now - self._previewed < self._pause:
            return
        self._previewed = now
        if self._pending is not None:
            self._pending.result()
        first = clean[0].to("cpu", copy=True)
        self._pending = self._helper.submit(self._show, first)

    def _show(self, latents: Tensor) -> None:
        preview = self._preview.jpeg(latents)
        self._emit(self._step(preview))
