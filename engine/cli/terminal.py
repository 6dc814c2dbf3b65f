"""How the commands speak: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys

from engine.errors import ErrorReport


def say(text: str) -> None:
    """Write a line of the result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def warn(message: str) -> None:
    """Write a warning, on one line."""
    _note(f"warning: {one_line(message)}")


def complain(error: ErrorReport) -> None:
    """Write the error that ends the program, on one line."""
    _note(f"error: {one_line(str(error))}")


def progress(text: str) -> None:
    """Show how far the work is, in place; only where somebody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def one_line(text: str) -> str:
    """Return a text with every run of white space as one blank."""
    return " ".join(text.split())


def _note(line: str) -> None:
    progress("")
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
