"""A child process that paints with other implementations, one order a line, and reports on each.

It needs PyTorch, safetensors and what it measures, and nothing of this program: so it also runs as
a script in an environment of its own, where tools live that this program never depends on.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from unittest import mock

import torch

GIB = 2**30
CONTEXT_BYTES = GIB // 2
"""What a limit leaves to the driver."""

SAMPLE_SECONDS = 0.02

Report = dict[str, Any]
Painter = Callable[[dict[str, Any]], Report]
"""Paints what an order says; returns the evaluations `nfe` and whatever else there is to tell."""


class CardWatch:
    """Watches how much of the whole card is taken while its block runs; `used` is the most."""

    def __init__(self, device: str) -> None:
        self.used = 0
        self._device, self._done = device, threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> CardWatch:
        """Begin to watch, where there is a card."""
        if self._device.startswith("cuda"):
            self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching."""
        self._done.set()
        if self._watcher.is_alive():
            self._watcher.join()

    def _watch(self) -> None:
        # The driver itself is asked: `mem_get_info` may have been told to report a smaller card.
        runtime = torch.cuda.cudart()
        index = torch.device(self._device).index or 0
        while not self._done.wait(SAMPLE_SECONDS):
            free, total = runtime.cudaMemGetInfo(index)
            self.used = max(self.used, total - free)


def serve(paint: Painter, device: str, orders: IO[str], reports: IO[str]) -> None:
    """Answer each order, a line of JSON, with a report on a line, until there are no more."""
    for line in orders:
        order = json.loads(line)
        report = counted(paint, order) if order.get("count_bytes") else timed(paint, order, device)
        reports.write(json.dumps(report) + "\n")
        reports.flush()


def timed(paint: Painter, order: dict[str, Any], device: str) -> Report:
    """Paint, and report seconds and the memory that was taken."""
    on_card = device.startswith("cuda")
    if on_card:
        torch.cuda.reset_peak_memory_stats(device)
    with CardWatch(device) as card:
        began = time.perf_counter()
        told = paint(order)
        if on_card:
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - began
    reserved = torch.cuda.max_memory_reserved(device) if on_card else 0
    return {**told, "seconds": seconds, "reserved": reserved, "card_used": card.used}


def counted(paint: Painter, order: dict[str, Any]) -> Report:
    """Paint once more under the profiler, and report the bytes that were copied to the card."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            paint(order)
            torch.cuda.synchronize()
        profile.export_chrome_trace(str(trace))
        return {"moved": moved_bytes(json.loads(trace.read_text("utf-8")))}


def moved_bytes(trace: dict[str, Any]) -> int:
    """Add up the copies from host to device in a profiler's trace."""
    return sum(
        int(event.get("args", {}).get("bytes", 0))
        for event in trace["traceEvents"]
        if event.get("cat") == "gpu_memcpy" and "HtoD" in event.get("name", "")
    )


def limit_card(limit_gb: float, device: str, stack: ExitStack) -> None:
    """Hold this process to a smaller card, and have PyTorch report one, until the stack unwinds.

    Implementations that plan by what they are told would plan for the whole card otherwise.
    """
    total = torch.cuda.get_device_properties(device).total_memory
    given = int(limit_gb * GIB) - CONTEXT_BYTES
    number = torch.device(device).index or 0
    torch.cuda.set_per_process_memory_fraction(min(1.0, given / total), number)
    properties, free = torch.cuda.get_device_properties, torch.cuda.mem_get_info

    def smaller(which: Any = None) -> Any:  # noqa: ANN401
        return _Smaller(properties(which), int(limit_gb * GIB))

    def left(which: Any = None) -> tuple[int, int]:  # noqa: ANN401
        there = given - torch.cuda.memory_reserved(which)
        return max(0, min(free(which)[0], there)), int(limit_gb * GIB)

    stack.enter_context(mock.patch.object(torch.cuda, "get_device_properties", smaller))
    stack.enter_context(mock.patch.object(torch.cuda, "mem_get_info", left))


class _Smaller:
    """The properties of a card, but for its size."""

    def __init__(self, card: Any, total: int) -> None:  # noqa: ANN401
        self._card, self.total_memory = card, total

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._card, name)


def noise(order: dict[str, Any]) -> torch.Tensor:
    """Return the noise that the seeds of an order stand for, [N, 16, H/8, W/8] float32."""
    shape = (1, 16, order["height"] // 8, order["width"] // 8)
    seeds = range(order["seed"], order["seed"] + order["count"])
    drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat(drawn)


def load_pipeline(config: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return the reference's pipeline over a model folder, placed as `config["method"]` says."""
    diffusers: Any = importlib.import_module("diffusers")
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    pipeline = diffusers.ZImagePipeline.from_pretrained(
        config["folder"], dtype=getattr(torch, config["dtype"]), use_safetensors=True,
        low_cpu_mem_usage=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    _place(pipeline, config["method"], torch.device(config["device"]))
    return pipeline


def _place(pipeline: Any, method: str, device: torch.device) -> None:  # noqa: ANN401
    match method:
        case "model offload":
            pipeline.enable_model_cpu_offload(device=device)
        case "group offload":
            pipeline.vae.to(device)
            pipeline.enable_group_offload(
                onload_device=device, offload_type="block_level", num_blocks_per_group=1,
                use_stream=True, record_stream=True, exclude_modules=["vae"],
            )  # fmt: skip
        case "compiled":
            pipeline.to(device)
            pipeline.transformer.compile_repeated_blocks(fullgraph=True)
        case "quanto":
            from optimum.quanto import freeze, qint8, quantize

            pipeline.to(device)
            quantize(pipeline.transformer, weights=qint8)
            freeze(pipeline.transformer)
        case "mmgp 2" | "mmgp 4" | "mmgp 5":
            offload: Any = importlib.import_module("mmgp.offload")
            offload.profile(pipeline, profile_no=int(method[-1]))
        case _:
            pipeline.to(device)


def painter(pipeline: Any, device: str) -> Painter:  # noqa: ANN401
    """Return what paints orders with the reference's pipeline."""
    forwards = [0]
    pipeline.transformer.register_forward_pre_hook(
        lambda *_: forwards.__setitem__(0, forwards[0] + 1)
    )
    last: dict[str, torch.Tensor] = {}

    def keep(_pipe: object, _step: int, _time: object, inputs: dict[str, Any]) -> dict[str, Any]:
        last["latents"] = inputs["latents"]
        return {}

    @torch.inference_mode()
    def paint(order: dict[str, Any]) -> Report:
        forwards[0] = 0
        guided = bool(order["guidance"])
        pipeline(
            prompt=order["prompt"], negative_prompt="" if guided else None,
            num_images_per_prompt=order["count"], latents=noise(order).to(device),
            width=order["width"], height=order["height"], num_inference_steps=order["steps"],
            guidance_scale=order["guidance"], callback_on_step_end=keep,
        )  # fmt: skip
        if order.get("latents"):
            from safetensors.torch import save_file

            found = last["latents"].float().cpu().contiguous()
            save_file({"latents": found}, order["latents"])
        return {"nfe": forwards[0] * (2 if guided else 1)}

    return paint


def main(config: dict[str, Any]) -> None:
    """Serve the orders of standard input; whatever else is printed goes to standard error."""
    reports = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    device = config["device"]
    with ExitStack() as stack, reports:
        if config["limit_gb"] is not None:
            limit_card(config["limit_gb"], device, stack)
        serve(painter(load_pipeline(config), device), device, sys.stdin, reports)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
