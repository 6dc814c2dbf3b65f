"""Files that a command is to write: refused before the work is done, not after."""

from __future__ import annotations

import os
from pathlib import Path

from engine.errors import BadRequest, DiskError, NotFound


def check_file(path: Path, option: str) -> None:
    """Raise an error of the tree if a file that `option` names could not be written."""
    try:
        has_folder, is_folder = path.parent.is_dir(), path.is_dir()
    except OSError as error:
        raise BadRequest(
            f"{option} {str(path)!r:.200} cannot be written: {error.strerror}.",
            "Choose another name.",
        ) from error
    if not has_folder:
        raise NotFound(f"The folder {path.parent} of {option} does not exist.", "Create it.")
    if is_folder:
        raise BadRequest(f"{option} {path} is a folder.", "Give the name of a file.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DiskError(
            f"The folder {path.parent} of {option} is closed to you.",
            "Choose a folder that you may write to.",
        )
