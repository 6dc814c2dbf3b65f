"""Remembers which variant a file is, once someone said so: files do not tell Base from Turbo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from engine.checkpoints.files import read_object
from engine.errors import UserError
from engine.storage import atomic_write, exclusive
from engine.variants import VARIANTS

FILE: Final = "variants.json"
MAX_ANSWERS: Final = 500


def remembered(digest: str, folder: Path) -> str | None:
    """Return the name of the variant that weights of this digest were said to be, if any."""
    return _answers(folder).get(digest)


def remember(digest: str, variant: str, folder: Path) -> None:
    """Keep an answer in the data folder; the oldest makes room. Raises `DiskError`."""
    with exclusive(folder / FILE):
        answers = _answers(folder)
        answers.pop(digest, None)
        answers[digest] = variant
        kept = dict(list(answers.items())[-MAX_ANSWERS:])
        atomic_write(folder / FILE, (json.dumps(kept, indent=1) + "\n").encode())


def _answers(folder: Path) -> dict[str, str]:
    """Read the answers; a file that is absent or damaged holds none, and the next one mends it."""
    try:
        values = read_object(folder / FILE)
    except UserError:
        return {}
    names = [variant.name for variant in VARIANTS]
    return {digest: name for digest, name in values.items() if name in names}
