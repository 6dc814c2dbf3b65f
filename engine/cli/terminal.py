"""How the commands speak: results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from engine.errors import DiskError, ErrorReport


def say(text: str) -> None:
    """Write a line of the result; raise `DiskError` where nobody can receive it."""
    if sys.stdout is None:
        raise DiskError("There is no standard output to write to.", "Send it to a file.")
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError as error:
        _discard(sys.stdout)
        raise DiskError(
            f"Standard output could not be written: {error.strerror}.",
            "Send it somewhere that takes all of it.",
        ) from error


def warn(message: str) -> None:
    """Write a warning, on one line."""
    _note(f"warning: {one_line(message)}")


def complain(error: ErrorReport) -> None:
    """Write the error that ends the program, on one line."""
    _note(f"error: {one_line(str(error))}")


def progress(text: str) -> None:
    """Show how far the work is, in place; only where somebody watches."""
    if sys.stderr is not None and sys.stderr.isatty():
        _tell(f"\r\x1b[K{text}")


def one_line(text: str) -> str:
    """Return a text with every run of white space as one blank."""
    return " ".join(text.split())


def _note(line: str) -> None:
    progress("")
    if sys.stderr is not None:
        _tell(f"{line}\n")


def _tell(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        # Nobody listens any more; the exit code still says how it went.
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Send what a broken stream still holds nowhere, or the flush at the program's end fails."""
    with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
