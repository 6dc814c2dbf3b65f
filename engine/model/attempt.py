"""Runs what strangers' libraries and compilers do, which fail in types of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

Result = TypeVar("Result")

_LONGEST: Final = 300


def attempt(call: Callable[[], Result]) -> Result:
    """Return what `call` does; raise `RuntimeError` for every failure but a shortage of memory.

    PyTorch's own errors, of which shortage and loss of a device are told, stay as they are.
    """
    try:
        return call()
    except (RuntimeError, MemoryError):
        raise
    except Exception as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def in_one_line(error: BaseException) -> str:
    """Return how the message of an error begins: compilers add pages of their own code."""
    return " ".join(str(error).split())[:_LONGEST] or type(error).__name__
