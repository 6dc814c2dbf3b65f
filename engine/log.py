"""The log: rotating files for the page and each command, free of secrets and forged lines."""

from __future__ import annotations

import logging
import re
from logging.handlers import RotatingFileHandler
from pathlib import Path

from engine.errors import DiskError
from engine.storage import make_folder, without_home

FILES = 5
FILE_BYTES = 2_000_000

_FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"
_OWN_NAME = "atelier"
_SECRET = re.compile(
    r"(?i)\bhf_\w+|(?<![a-z0-9])(?:password|passwd|token|secret|authorization|api_key)['\"]?"
    r"\s*[=:]\s*(?:(?:bearer|basic)\s)?\S+"
)
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def set_up(folder: Path | None, *, verbose: bool, name: str = "studio") -> None:
    """Send this process's log records to <name>.log in `folder`, with `verbose` to stderr as well.

    Five files of 2 MB each. Processes that share a name lose lines when one of them begins a new
    file, so the page and each command have a name of their own. Calling again replaces what an
    earlier call set up. INFO and above are kept, with `verbose` DEBUG too. Callers log prompts at
    DEBUG only. Raise `DiskError` if the log cannot be written.
    """
    handlers: list[logging.Handler] = [logging.NullHandler()]
    if folder is not None:
        handlers.append(_file_handler(folder, f"{name}.log"))
    if verbose:
        handlers.append(logging.StreamHandler())
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if handler.get_name() == _OWN_NAME]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.set_name(_OWN_NAME)
        handler.setFormatter(_Formatter(_FORMAT))
        root.addHandler(handler)
    for name in ("engine", "ui"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)


class _Formatter(logging.Formatter):
    """Hides secrets and the home folder, and keeps a message on its line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return super().formatMessage(record).translate(_CONTROL)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return without_home(_SECRET.sub("[hidden]", text))


class _QuietFileHandler(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Drop the record: a full disk must neither end a job nor flood the terminal."""


def _file_handler(folder: Path, name: str) -> logging.Handler:
    make_folder(folder)
    try:
        return _QuietFileHandler(
            folder / name,
            maxBytes=FILE_BYTES,
            backupCount=FILES - 1,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except OSError as error:
        raise DiskError(
            f"The log {folder / name} cannot be written: {error.strerror}.",
            "Give --data-dir a folder that you may write to.",
        ) from error
