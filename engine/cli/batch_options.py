"""The options of `app.py batch`, beside those of every painting command."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.service.batch import CONTACT_SHEET
from engine.settings import FileType


def add_batch_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a parser."""
    add = parser.add_argument
    add("pictures", metavar="PICTURE-or-FOLDER", nargs="+", type=Path,
        help="PNG, JPEG or WEBP files, and folders of them")  # fmt: skip
    add("-o", dest="out", metavar="FOLDER", type=Path, required=True,
        help="where the results go, under the names of the pictures")  # fmt: skip
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--prompt", metavar="PROMPT", help="what to make of each picture")
    how.add_argument(
        "--chain", metavar="PICTURE", type=Path,
        help="a picture that was edited here: the steps that led to it are replayed on each",
    )  # fmt: skip
    add("--strength", metavar="S", type=float, help="1 = ignore the picture, 0 = keep it")
    add("--format", metavar="F", type=_file_type, default=FileType.PNG,
        help=", ".join(FileType))  # fmt: skip
    add("--no-sheet", action="store_true", help=f"write no {CONTACT_SHEET}")


def _file_type(text: str) -> FileType:
    if text not in set(FileType):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is none of {', '.join(FileType)}")
    return FileType(text)
