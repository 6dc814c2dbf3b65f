"""Measures computations side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One of several ways to do the same work; `run` gets the number of the round."""

    name: str
    run: Callable[[int], object]


def medians(arms: Sequence[Arm], rounds: int, device: str) -> dict[str, float]:
    """Return the median seconds of each arm.

    Each arm is run once to warm up. Then they take turns, in an order that is reversed every round,
    so that a machine that gets slower is no arm's fault.
    """
    for arm in arms:
        arm.run(0)
    seconds: dict[str, list[float]] = {arm.name: [] for arm in arms}
    for number in range(1, rounds + 1):
        for arm in arms[:: 1 if number % 2 else -1]:
            seconds[arm.name].append(_timed(arm, number, device))
    return {name: statistics.median(times) for name, times in seconds.items()}


def count_forwards(networks: Mapping[str, nn.Module], work: Callable[[], object]) -> dict[str, int]:
    """Return how often each network computes while `work` runs."""
    counts = dict.fromkeys(networks, 0)

    def counter(name: str) -> Callable[..., None]:
        def count(*_: object) -> None:
            counts[name] += 1

        return count

    hooks = [network.register_forward_pre_hook(counter(name)) for name, network in networks.items()]
    try:
        work()
    finally:
        for hook in hooks:
            hook.remove()
    return counts


def _timed(arm: Arm, number: int, device: str) -> float:
    _wait_for(device)
    began = time.perf_counter()
    arm.run(number)
    _wait_for(device)
    return time.perf_counter() - began


def _wait_for(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
