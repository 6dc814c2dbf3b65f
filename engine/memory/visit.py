"""Modules that compute once: each comes to the device for its turn, and is gone after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn


@contextmanager
def on_device(
    modules: Sequence[nn.Module], device: torch.device, check: Callable[[], None]
) -> Iterator[None]:
    """Bring each module to a device when it is called, and drop its weights when it is done.

    They lie in the computer's memory before, and nowhere afterwards: the modules cannot be used
    again. `check` runs before each, and may raise.
    """

    def come(module: nn.Module, *_: object) -> None:
        check()
        module.to(device)

    def go(module: nn.Module, *_: object) -> None:
        module.to("meta")

    with ExitStack() as end:
        for module in modules:
            end.callback(module.register_forward_pre_hook(come).remove)
            end.callback(module.register_forward_hook(go).remove)
        yield
