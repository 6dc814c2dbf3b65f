"""`app.py doctor`: what this machine is, what was chosen for it and why, and a proof."""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.cli.terminal import say
from engine.errors import NumericalError, OutOfMemory
from engine.hardware import MIN_BF16_CAPABILITY, Card, Hardware, Host, Rates, Tuning
from engine.jobs.order import Hooks, Order, Output
from engine.memory.activations import ModelFootprint
from engine.memory.budget import budget_for, device_budget, numbers_of
from engine.memory.disk import SEES_CACHE
from engine.memory.ledger import Networks
from engine.memory.pieces import model_sizes
from engine.memory.place import DTYPES, Place
from engine.memory.plan import make_plan
from engine.memory.probe import card_now, describe, hardware
from engine.memory.rates import measured_rates
from engine.memory.studio import Studio
from engine.memory.tune import known_tuning
from engine.memory.work import GIB, Work
from engine.model.attention import attention_name, choose_attention
from engine.model.config import TransformerConfig, VaeConfig
from engine.model.tiled import native, tiled
from engine.quant.products import WEIGHT_ONLY, choose, product_name
from engine.request import Device, Precision, Request
from engine.run import execute
from engine.setup.machine import Machine, probe
from engine.tasks.resolve import choose_device, choose_precision
from engine.variants import VARIANTS, by_name

PROMPT = "a large red circle on a white background"
SIDE, TURBO_STEPS = 1024, 8
PUBLIC = Networks(
    transformer=TransformerConfig(),
    text_encoder={
        "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 9728, "vocab_size": 151936,
    },
    vae=VaeConfig(),
)  # fmt: skip
"""The public 6 B model: what is to be reckoned with where none is here yet."""

TOLERANCES = {Precision.FP32: 1e-4, Precision.BF16: 2e-2, Precision.FP16: 2e-3}


def doctor(options: argparse.Namespace) -> int:
    """Print the examination; raise an error of the tree if the machine does not compute right."""
    found = hardware()
    device = choose_device(Device.AUTO, found)
    precision = choose_precision(Precision.AUTO, device, found)
    for line in system_lines(probe(), found):
        say(line)
    state = describe(device)
    say(f"device      {device} ({state.device}; {state.memory}): {_why_device(device, found)}")
    say(f"precision   {precision}: {_why_precision(precision, device)}")
    card = card_now(device, found)
    for line in (*memory_lines(card), *kernel_lines(torch.device(device))):
        say(line)
    rates = measured_rates(device, options.data_dir)
    for line in rate_lines(card, rates):
        say(line)
    say(tuning_line(known_tuning(device, options.data_dir)))
    say(f"plan        Turbo, {SIDE} x {SIDE}, int8: {forecast(device, card, found.host, rates)}")
    for variant in VARIANTS:
        here = variant.folder is not None and variant.folder.is_dir()
        say(f"model       {variant.name}: {'ready' if here else 'needs weights'}")
    began = time.perf_counter()
    what = _prove(device, precision)
    say(f"proof       {what}: right, {time.perf_counter() - began:.1f} s")
    return 0


def system_lines(machine: Machine, found: Hardware) -> Iterator[str]:
    """Yield what the computer is, and how much of it this process may use."""
    here = found.host
    yield f"system      {platform.platform()}, Python {platform.python_version()}"
    yield f"processor   {here.cores} of {os.cpu_count()} cores may be used"
    if here.total_bytes:
        available = f"{_gib(here.available_bytes)} GiB can be taken now"
        yield f"memory      {_gib(here.total_bytes)} GiB may be used; {available}"
    else:
        yield "memory      unknown: this system does not tell"
    for card in machine.gpus:
        yield f"card        {card.vendor}, {card.memory_mib} MiB, driver {_dotted(card.driver)}"
    backend = f", ROCm {torch.version.hip}" if torch.version.hip else ""
    yield f"PyTorch     {torch.__version__}{backend}"


def memory_lines(card: Card | None) -> Iterator[str]:
    """Yield what of a card's memory a model may take, and why not more."""
    if card is None:
        return
    budget = device_budget(card, None)
    others = f"{_gib(card.total_bytes - card.free_bytes)} GiB are taken by other programs"
    kept = f"{_gib(card.free_bytes - budget)} GiB stay free for the driver"
    screen = " and for the screen that may be drawn from it" if card.display else ""
    yield f"budget      {_gib(budget)} of {_gib(card.total_bytes)} GiB: {others}, {kept}{screen}"


def kernel_lines(device: torch.device) -> Iterator[str]:
    """Yield which attention and which int8 product were taken, and why."""
    dtype = Place(device=str(device), precision=Precision.INT8).dtype
    # Where a card has no bfloat16, float32 is mixed in float16.
    halves = torch.float16 if dtype is torch.float32 else dtype
    attend = choose_attention(device, halves, TransformerConfig().head_dim, is_base=False)
    name, why = attention_name(attend), "PyTorch's own; others are for CUDA cards"
    if device.type == "cuda":
        why = "the fastest that computes what PyTorch's own does"
    elif device.type == "cpu" and native() is tiled:
        name, why = "tiled", "by products of oneDNN in bfloat16, by PyTorch's own in other types"
    yield f"attention   {name}: {why}"
    product = choose(device)
    if product is WEIGHT_ONLY:
        yield "int8        weights alone: no product of whole numbers computes right here"
    else:
        yield f"int8        {product_name(product)}: the fastest that computes right here"


def rate_lines(card: Card | None, rates: Rates) -> Iterator[str]:
    """Yield how fast link, disk and products were measured to be."""
    if card is None or card.kind == "mps":
        yield "link        none: the device computes in the computer's own memory"
    elif rates.link:
        yield f"link        {rates.link / 1e9:.1f} GB/s from page-locked memory to the card"
    else:
        yield "link        unknown: no memory could be page-locked, or too little was free"
    if not rates.disk:
        yield "disk        unknown: no model file to read, or the system keeps all of it in memory"
    else:
        doubt = "past the system's cache" if SEES_CACHE else "which the system's cache may help"
        yield f"disk        {rates.disk / 1e9:.1f} GB/s, {doubt}"
    listed = (f"{name} {rate / 1e12:.3g}" for name, rate in rates.operations.items())
    yield f"speed       {', '.join(listed) or 'unknown'} TFLOP/s in large products"


def tuning_line(tuning: Tuning) -> str:
    """Return what the trial of this machine's ways came to, if there was one."""
    taken = ", ".join(f"{c.subject} {c.name}" for c in tuning.choices if c.taken)
    return f"optimised   {taken or 'not yet: Settings, Optimise for my PC'}"


def forecast(device: str, card: Card | None, here: Host, rates: Rates) -> str:
    """Return how the public 6 B model would be laid out for one picture, or what stands against.

    Nothing of it needs to be there.
    """
    has_bf16 = Place(device=device, precision=Precision.INT8).dtype is torch.bfloat16
    numbers = numbers_of(Precision.INT8, device, card, has_bf16=has_bf16)
    budget = budget_for(device, card, here, rates)
    work = Work(width=SIDE, height=SIDE, count=1, evaluations=TURBO_STEPS, guided=False)
    footprint = ModelFootprint(networks=PUBLIC, numbers=numbers)
    try:
        plan = make_plan(work, model_sizes(PUBLIC, numbers), footprint, budget)
    except OutOfMemory as error:
        return str(error)
    seconds = "" if plan.seconds is None else f"; about {plan.seconds:.0f} s"
    return plan.describe() + seconds


def _gib(count: int) -> str:
    return f"{max(0, count) / GIB:.1f}"


def _dotted(numbers: tuple[int, ...] | None) -> str:
    return ".".join(map(str, numbers)) if numbers else "unknown"


def _why_device(device: str, found: Hardware) -> str:
    if device == Device.CPU:
        return "this PyTorch finds no graphics card"
    return f"the first of {len(found.cards) or 1} graphics cards that this PyTorch finds"


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
