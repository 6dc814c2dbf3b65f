"""The real engine with a painter that draws coloured hills instead of running a model."""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter
from PIL.PngImagePlugin import PngInfo

from engine import (
    CancelledError,
    DownloadPlan,
    Engine,
    NumericalError,
    Picture,
    Precision,
    Request,
    Result,
    Settings,
    Stage,
    Variant,
)
from engine.hardware import Card, Host, Rates
from engine.images.metadata import make_recipe, write_text
from engine.jobs.order import Hooks, Order, Step, WorkerState
from engine.service.links import ThreadLink
from engine.variants import VARIANTS
from engine.worker import Painter
from tests.engine.fakes import tune
from tests.ui.fake_catalogue import FakeCatalogue, Shelves
from tests.ui.fake_downloads import FakeDownloads, make_plan

GIB = 2**30


class FakeEngine(Engine):
    """Takes `step_seconds` a step. The prompt "NaN" fails, "bug" breaks, "warn" warns."""

    def __init__(self, folder: Path, *, step_seconds: float = 0.02) -> None:
        self.models_folder = folder / "models"
        self.step_seconds = step_seconds
        self.go_on = threading.Event()
        self.go_on.set()
        self.shelves = Shelves()
        settings = Settings(
            output_folder=folder / "outputs", data_dir=folder / "data", lora_folder=folder / "loras"
        )
        self.free = 120 * 10**9
        self.search = threading.Event()
        super().__init__(settings, journal=True, hire=lambda: ThreadLink(self._make_painter))
        self._downloads = FakeDownloads()

    def wait_until_known(self) -> None:
        """Wait until the painter told of its machine."""
        deadline = time.monotonic() + 60
        while not self.status().device and time.monotonic() < deadline:
            time.sleep(0.01)

    def models(self) -> tuple[Variant, ...]:
        """Return every model, each with a folder."""
        self.models_folder.mkdir(parents=True, exist_ok=True)
        return tuple(replace(m, folder=self.models_folder) for m in super().models())

    @property
    def catalogue(self) -> FakeCatalogue:
        """Return what there is to paint with."""
        return FakeCatalogue(self.settings, self.shelves)

    def plan_download(
        self,
        name: str,
        precision: Precision = Precision.AUTO,
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> DownloadPlan:
        """Plan to fetch a model; nothing is looked for, but it lasts while `search` is set."""
        while self.search.is_set():
            if cancelled():
                raise CancelledError("The plan was stopped.")
            time.sleep(0.01)
        return make_plan(name, precision, self.settings.data_dir / "models" / name, self.free)

    def _make_painter(self) -> Painter:
        card = Card(
            name="NVIDIA RTX 4070", capability=(8, 9), total_bytes=12 * GIB, free_bytes=9 * GIB
        )
        state = WorkerState(
            device=card.name,
            memory="3.1 of 12.0 GiB in use",
            total_bytes=card.total_bytes,
            name="cuda",
            card=card,
            host=Host(total_bytes=32 * GIB, available_bytes=24 * GIB, cores=8),
            rates=Rates(link=2e10, operations={"bf16": 5e13, "int8": 2e14}),
        )
        return Painter(paint=self._paint, state=lambda: state, tune=tune)

    def _paint(self, order: Order, hooks: Hooks) -> Result:
        begun = time.monotonic()
        request = _filled(order.request)
        _go_wrong(request, hooks)
        order.output.folder.mkdir(parents=True, exist_ok=True)
        pictures = tuple(self._one(order, request, i, hooks) for i in range(request.count))
        seconds = {"total": time.monotonic() - begun}
        return Result(
            pictures=pictures,
            seconds=seconds,
            nfe=request.steps,
            precision="fp32",
            plan="all on the device",
            peak_memory=1.0,
        )

    def _one(self, order: Order, request: Request, index: int, hooks: Hooks) -> Picture:
        seed = request.seed + index
        painting = draw(request.width, request.height, seed)
        self._steps(request, painting, hooks)
        own = request.with_values(seed=seed, count=1)
        recipe = make_recipe(own, model_hash="00", precision="fp32", plan="", warnings=())
        texts = PngInfo()
        for name, text in write_text(recipe).items():
            texts.add_itxt(name, text)
        path = order.output.folder / f"{order.job}-{index}.png"
        painting.save(path, pnginfo=texts)
        return Picture(path=path, recipe=recipe, width=request.width, height=request.height)

    def _steps(self, request: Request, painting: Image.Image, hooks: Hooks) -> None:
        hooks.emit(Step(stage=Stage.LOADING, step=1, total=4))
        for step in range(1, request.steps + 1):
            time.sleep(self.step_seconds)
            self.go_on.wait()
            if hooks.cancelled():
                raise CancelledError("The job was cancelled.")
            left = request.steps - step
            hooks.emit(
                Step(
                    stage=Stage.DENOISING,
                    step=step,
                    total=request.steps,
                    eta=left * self.step_seconds,
                    preview=_blurred(painting, left),
                )
            )


def _filled(request: Request) -> Request:
    known = next((variant for variant in VARIANTS if variant.name == request.model), VARIANTS[0])
    chosen = known.defaults
    return request.with_values(
        seed=random.randrange(10**9) if request.seed is None else request.seed,
        steps=request.steps or chosen.steps,
        guidance_scale=chosen.guidance_scale
        if request.guidance_scale is None
        else request.guidance_scale,
        shift=request.shift or chosen.shift,
        width=request.width or chosen.width,
        height=request.height or chosen.height,
    )


def _go_wrong(request: Request, hooks: Hooks) -> None:
    if request.prompt == "NaN":
        raise NumericalError("Step 3 gave numbers that are no picture.", "Try precision fp32.")
    if request.prompt == "bug":
        raise ValueError("secret detail")
    if request.prompt == "warn":
        hooks.warn("The size lies outside the trained range.")


def draw(width: int, height: int, seed: int) -> Image.Image:
    """Draw hills under a sun, in colours that the seed chooses."""
    dice = random.Random(seed)
    hue = dice.randrange(360)
    picture = Image.new("RGB", (width, height))
    brush = ImageDraw.Draw(picture)
    for y in range(height):
        brush.line([(0, y), (width, y)], fill=f"hsl({hue}, 60%, {85 - 40 * y // height}%)")
    size, x = height // 6, dice.randrange(width)
    brush.ellipse([x - size, size, x + size, 3 * size], fill=f"hsl({(hue + 40) % 360}, 90%, 75%)")
    for layer in range(4):
        base = height * (5 + layer) // 9
        points = [(i * width // 6, base - dice.randrange(height // 5)) for i in range(7)]
        colour = f"hsl({(hue + 140) % 360}, 35%, {50 - 11 * layer}%)"
        brush.polygon([*points, (width, height), (0, height)], fill=colour)
    return picture


def _blurred(picture: Image.Image, left: int) -> bytes:
    small = picture.copy()
    small.thumbnail((256, 256))
    out = io.BytesIO()
    small.filter(ImageFilter.GaussianBlur(left)).save(out, "JPEG", quality=65)
    return out.getvalue()
