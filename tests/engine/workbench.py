"""A studio with a folder: jobs run in it without a queue and without a process."""

from __future__ import annotations

import os
import time
from pathlib import Path

from PIL import Image

from engine.inputs import FOLDER, YOUNG_SECONDS
from engine.jobs.order import Order, Output
from engine.memory.studio import Model, Studio
from engine.run import execute
from tests.engine.inject import Told


class Bench:
    """A studio and a folder; `paint` returns the pixels of a job's pictures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.studio = Studio()

    def run(self, request, told: Told | None = None, loras: Path | None = None, **output):
        order = Order(
            job="job",
            request=request,
            output=Output(**{"folder": self.folder, **output}),
            data_dir=self.folder.parent / "data",
            lora_folder=loras or self.folder,
        )
        return execute(order, self.studio, (told or Told()).hooks)

    def paint(self, request) -> list[bytes]:
        return [Image.open(p.path).tobytes() for p in self.run(request).pictures]

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


def aged(data_dir: Path, seconds: float = YOUNG_SECONDS) -> None:
    """Have the input pictures in a data folder be kept so many seconds ago."""
    for path in (data_dir / FOLDER).iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


def model_of(bench: Bench) -> Model | None:
    """Return what the studio holds."""
    return bench.studio._model
