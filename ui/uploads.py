"""Files that a browser or a program uploaded: found in the page's cache and nowhere else."""

from __future__ import annotations

from pathlib import Path

from gradio.utils import get_upload_folder

from engine import NotFound
from ui import strings


def uploaded(given: object) -> Path:
    """Return the file that was uploaded; what is named elsewhere is not looked at.

    given: its path, or the object with the path that Gradio's clients send. Raise `NotFound`.
    """
    path = given.get("path") if isinstance(given, dict) else given
    folder = Path(get_upload_folder()).resolve()
    found = Path(path).resolve() if isinstance(path, str) and "\0" not in path else folder
    if folder not in found.parents:
        raise NotFound(strings.NOT_UPLOADED, strings.NOT_UPLOADED_ACTION)
    return found
