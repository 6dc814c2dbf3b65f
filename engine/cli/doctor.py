"""`app.py doctor`: what this machine is, what was chosen for it and why, and a proof."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.cli.terminal import say
from engine.errors import NumericalError
from engine.hardware import MIN_BF16_CAPABILITY, Hardware
from engine.jobs.order import Hooks, Order, Output
from engine.memory.probe import describe, hardware
from engine.memory.studio import DTYPES, Studio
from engine.request import Device, Precision, Request
from engine.run import execute
from engine.setup.machine import probe
from engine.tasks.resolve import choose_device, choose_precision
from engine.variants import VARIANTS, by_name

PROMPT = "a large red circle on a white background"
TOLERANCES = {Precision.FP32: 1e-4, Precision.BF16: 2e-2, Precision.FP16: 2e-3}


def doctor() -> int:
    """Print the examination; raise an error of the tree if the machine does not compute right."""
    machine = probe()
    found = hardware()
    device = choose_device(Device.AUTO, found)
    precision = choose_precision(Precision.AUTO, device, found)
    say(f"system      {platform.platform()}, Python {platform.python_version()}")
    say(f"processor   {os.cpu_count()} cores")
    for card in machine.gpus:
        say(f"card        {card.vendor}, {card.memory_mib} MiB, driver {_dotted(card.driver)}")
    say(f"PyTorch     {torch.__version__}")
    state = describe(device)
    say(f"device      {device} ({state.device}; {state.memory}): {_why_device(device, found)}")
    say(f"precision   {precision}: {_why_precision(precision, device)}")
    for variant in VARIANTS:
        here = variant.folder is not None and variant.folder.is_dir()
        say(f"model       {variant.name}: {'ready' if here else 'needs weights'}")
    began = time.perf_counter()
    what = _prove(device, precision)
    say(f"proof       {what}: right, {time.perf_counter() - began:.1f} s")
    return 0


def _dotted(numbers: tuple[int, ...] | None) -> str:
    return ".".join(map(str, numbers)) if numbers else "unknown"


def _why_device(device: str, found: Hardware) -> str:
    if device == Device.CPU:
        return "this PyTorch finds no graphics card"
    return f"the first of {len(found.cuda) or 1} graphics cards that this PyTorch finds"


def _why_precision(precision: Precision, device: str) -> str:
    if precision is Precision.BF16:
        return f"the card's compute capability is {MIN_BF16_CAPABILITY} or more"
    if precision is Precision.FP16:
        return "the card computes float16, and no bfloat16"
    return "right everywhere" if device == Device.CPU else "this device has no fast bfloat16"


def _prove(device: str, precision: Precision) -> str:
    """Compute with the device, then paint with the Demo model where it is here."""
    check_arithmetic(device, precision)
    demo = by_name("demo").folder
    if demo is None or not demo.is_dir():
        return "matrix product, attention, convolution"
    paint_demo(device, precision)
    return "matrix product, attention, convolution, a Demo picture"


def check_arithmetic(device: str, precision: Precision) -> None:
    """Compare the device with the CPU in float64; raise `NumericalError` if it computes wrong."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(1, 4, 64, 64, generator=generator, dtype=torch.float64)
    kernel = torch.randn(4, 4, 3, 3, generator=generator, dtype=torch.float64)
    operations: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "matrix product": lambda m, k: m @ m,
        "attention": lambda m, k: F.scaled_dot_product_attention(m, m, m),
        "convolution": lambda m, k: F.conv2d(m, k, padding=1),
    }
    for name, compute in operations.items():
        right = compute(matrix, kernel)
        ours = compute(*(x.to(device, DTYPES[precision]) for x in (matrix, kernel)))
        off = ((ours.cpu().double() - right).norm() / right.norm()).item()
        if not off <= TOLERANCES[precision]:
            raise NumericalError(
                f"The {name} on {device} in {precision} is off by {off:.1e}.",
                "Update the driver, or use --device cpu.",
            )


def paint_demo(device: str, precision: Precision) -> None:
    """Paint a Demo picture and throw it away; raise what goes wrong."""
    request = Request(prompt=PROMPT, model="demo", seed=0, device=device, precision=precision)
    quiet = Hooks(emit=lambda _: None, warn=lambda _: None, cancelled=lambda: False)
    with tempfile.TemporaryDirectory() as folder:
        order = Order(job="doctor", request=request, output=Output(folder=Path(folder)))
        execute(order, Studio(), quiet)
