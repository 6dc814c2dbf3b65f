"""Tells a shortage of memory, or a lost device, from every other failure.

torch's own types are sure. Drivers, libraries and allocators say the same in words of their own,
and most of those arrive as a plain `RuntimeError`.
"""

from __future__ import annotations

import errno
import re
from typing import Final

import torch

_SHORT: Final = re.compile(
    # torch, CUDA, HIP, Metal, Level Zero; "out of resource: shared memory" is no shortage.
    r"out[ _]?of[ _]?(device[ _]|host[ _])?memory"
    # The allocators of processors and of the system.
    r"|(can't|cannot|could not|unable to|failed to) alloc(ate)?\b(?! shared)"
    r"|not enough memory|insufficient memory|bad_alloc"
    # cuDNN, cuBLAS, cuSOLVER, cuFFT.
    r"|alloc(ation)?_failed"
    # A handle is the first thing that finds no room on a full card.
    r"|(cublas|cusolver|cudnn|cusparse)\w*_not_initialized when calling `?\w*create"
    r"|unable to find a valid cudnn algorithm"
    # A full card on which the driver's library fails to say how full it is.
    r"|internal assert failed at \"?[^\"]*cachingallocator"
    # A thread finds no room for its stack, and oneDNN none for the code that it writes.
    r"|can't start new thread|could not create a primitive"
    # Metal's word for a tensor larger than it lends.
    r"|invalid buffer size: [\d.]+ ?[kmgt]i?b",
    re.IGNORECASE,
)
_HOST: Final = re.compile(
    r"alloc_cpu|cpuallocator|new thread|create a primitive|bad_alloc|unable to mmap"
    r"|host[ _](memory|alloc)|page-locked|pinned",
    re.IGNORECASE,
)
_LOST: Final = re.compile(
    r"illegal (memory access|instruction|address)|illegal_?address|device-side assert"
    r"|misaligned address|invalid program counter|hardware stack error"
    r"|unspecified launch failure|launch_?fail(ed|ure)|launch timed out|launch_?time_?out"
    r"|(execution|mapping)_failed|\becc error|device (was |is |has been )?(lost|removed|reset)"
    r"|fallen off the bus|context is destroyed|driver shutting down|(cuda|hip) error: unknown error"
    r"|command buffer exited with error|device_lost",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that device or host memory did not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and _SHORT.search(str(error)) is not None


def is_of_host(error: BaseException) -> bool:
    """Say whether a shortage is one of the computer's memory; a card's is the usual one."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    return not isinstance(error, RuntimeError) or _HOST.search(str(error)) is not None


def is_device_lost(error: BaseException) -> bool:
    """Say whether the graphics card failed in a way that only a new process can get over."""
    if is_out_of_memory(error):
        return False
    if isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and _LOST.search(str(error)) is not None
