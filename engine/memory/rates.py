"""How fast this machine is: its link to the card, its disk, its large products.

Measured once per device and release of PyTorch, and kept in the data folder.
"""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import DiskError
from engine.hardware import Rates
from engine.memory import machine_file
from engine.memory.accelerator import Accelerator, accelerator_for
from engine.memory.disk import disk_rate, sample
from engine.memory.host import host
from engine.quant.products import choose
from engine.request import Precision
from engine.settings import models_folder

_log = logging.getLogger(__name__)

KEPT: Final = "rates"

LINK: Final = (1e8, 2e12)
DISK: Final = (1e6, 1e11)
OPERATIONS: Final = (1e7, 1e17)
"""Bounds of what can be: bytes/s, bytes/s, operations/s. Anything else was not measured."""

TRIAL_SECONDS: Final = 0.1
LINK_BYTES: Final = 256 * 2**20
LINK_COPIES: Final = 5

_PLAIN: Final[Mapping[Precision, torch.dtype]] = MappingProxyType(
    {
        Precision.FP32: torch.float32,
        Precision.BF16: torch.bfloat16,
        Precision.FP16: torch.float16,
    }
)


def known_rates(device: str, data_dir: Path) -> Rates:
    """Return what was measured of a device before; all unknown where nothing was."""
    values = machine_file.recall(data_dir, identity(device), KEPT)
    operations = values.get("operations")
    named = operations if isinstance(operations, dict) else {}
    read = {name: _within(named.get(name), OPERATIONS) for name in (*_PLAIN, Precision.INT8)}
    return Rates(
        link=_within(values.get("link"), LINK),
        disk=_within(values.get("disk"), DISK),
        operations={str(name): rate for name, rate in read.items() if rate},
    )


def measured_rates(
    device: str, data_dir: Path, model: Path | None = None, *, anew: bool = False
) -> Rates:
    """Return how fast a device is, measured and kept where it was not yet; takes up to 3 s.

    On a card it may take longer, where kernels of ours are built first. model: a folder with a
    model to read from disk; else one of the downloaded models is read. What cannot be measured
    stays unknown. anew: measure what was measured before as well.
    """
    known = Rates() if anew else known_rates(device, data_dir)
    rates = known if known.operations else _measure(torch.device(device))
    if not rates.disk:
        rates = replace(rates, disk=_disk(data_dir, model))
    if rates != known:
        _keep(device, data_dir, rates)
    return rates


def identity(device: str) -> str:
    """Return what tells a device from others, and this PyTorch from other releases of it."""
    place = torch.device(device)
    if place.type == "cuda":
        facts = torch.cuda.get_device_properties(place)
        name = f"{facts.name} {facts.major}.{facts.minor}"
    elif place.type == "cpu":
        name = f"cpu {torch.backends.cpu.get_cpu_capability()}, {host().cores} cores"
    else:
        name = place.type
    return f"{name}, PyTorch {torch.__version__}"


def _within(value: object, bounds: tuple[float, float]) -> float:
    """Return a number that can be, 0 for everything else."""
    if isinstance(value, int | float) and bounds[0] <= value <= bounds[1]:
        return float(value)
    return 0.0


def _keep(device: str, data_dir: Path, rates: Rates) -> None:
    values = {"link": rates.link, "disk": rates.disk, "operations": dict(rates.operations)}
    try:
        machine_file.keep(data_dir, identity(device), KEPT, values)
    except DiskError as error:
        _log.warning("what was measured of %s is not kept: %s", device, error)


def _disk(data_dir: Path, model: Path | None) -> float:
    file = sample(model, models_folder(data_dir))
    return 0.0 if file is None else _within(disk_rate(file), DISK)


def _measure(device: torch.device) -> Rates:
    is_card = device.type == "cuda"
    link = _within(link_rate(accelerator_for(device)), LINK) if is_card else 0.0
    operations = {str(name): _within(rate, OPERATIONS) for name, rate in _operations(device)}
    if is_card:
        torch.cuda.empty_cache()
    return Rates(link=link, operations={name: rate for name, rate in operations.items() if rate})


def link_rate(card: Accelerator) -> float:
    """Return bytes/s of copies from page-locked memory to a card, 0 where that cannot be."""
    # PyTorch's own page-locked memory would stay in its cache for ever.
    source = torch.zeros(LINK_BYTES, dtype=torch.uint8)
    if not card.lock(source):
        return 0.0
    try:
        target = card.allocate(LINK_BYTES)
        times = [_copy_seconds(card, target, source) for _ in range(LINK_COPIES)]
    except RuntimeError as error:
        _log.info("the link to the card could not be measured: %s", error)
        return 0.0
    finally:
        card.unlock(source)
    return LINK_BYTES / statistics.median(times)


def _copy_seconds(card: Accelerator, target: Tensor, source: Tensor) -> float:
    """Copy `source` to `target`, both [size] uint8, and return how long that took."""
    began = time.perf_counter()
    card.copy(target, source)
    card.finish()
    return time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class _Size:
    """Tokens of a first, short trial and of the real one; features of both sides."""

    tokens: tuple[int, int]
    width: int


def _operations(device: torch.device) -> Iterator[tuple[Precision, float]]:
    """Yield operations/s of each precision that the device computes in."""
    size = _Size((32, 256), 2048) if device.type == "cpu" else _Size((256, 4096), 4096)
    for precision, dtype in _PLAIN.items():
        yield precision, _trial(partial(_plain, dtype=dtype), size, device)
    yield Precision.INT8, _trial(_int8, size, device)


def _trial(
    make: Callable[[int, int, torch.device], Callable[[], Tensor]],
    size: _Size,
    device: torch.device,
) -> float:
    """Return operations/s of the largest product that is done soon; 0 where none works."""
    rate = 0.0
    for tokens in size.tokens:
        try:
            seconds = _best_seconds(make(tokens, size.width, device), device)
        except (RuntimeError, MemoryError) as error:
            _log.info("a product cannot be measured on %s: %s", device, error)
            return rate
        operations = 2.0 * tokens * size.width**2
        rate = operations / seconds if seconds > 0 and math.isfinite(seconds) else 0.0
        if seconds > TRIAL_SECONDS / 4:
            break
    return rate


def _best_seconds(multiply: Callable[[], Tensor], device: torch.device) -> float:
    """Return how long the fastest of a few products took; a slow one is done once or twice."""
    best, began = math.inf, time.perf_counter()
    while time.perf_counter() - began < TRIAL_SECONDS:
        wait(device)
        before = time.perf_counter()
        multiply()
        wait(device)
        best = min(best, time.perf_counter() - before)
    return best


def _plain(
    tokens: int, width: int, device: torch.device, dtype: torch.dtype
) -> Callable[[], Tensor]:
    """Prepare a product [tokens, width] by [width, width] in a number type."""
    x = torch.ones(tokens, width, dtype=dtype, device=device)
    weight = torch.ones(width, width, dtype=dtype, device=device)
    return partial(F.linear, x, weight)


def _int8(tokens: int, width: int, device: torch.device) -> Callable[[], Tensor]:
    """Prepare the same product by int8 weights, the way that is taken on this device."""
    product = choose(device)
    dtype = torch.float32 if device.type == "cpu" else torch.float16
    x = torch.ones(tokens, width, dtype=dtype, device=device)
    prepared = product.prepare(torch.ones(width, width, dtype=torch.int8, device=device))
    return partial(product.multiply, x, prepared, torch.ones(width, device=device))


def wait(device: torch.device) -> None:
    """Wait until a device has done all that it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
