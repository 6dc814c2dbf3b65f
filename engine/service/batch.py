"""Batches: many pictures taken through the same requests, each to a file named after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine.errors import BadRequest, DiskError, NotFound
from engine.jobs.order import Output
from engine.request import Request
from engine.service.series import Item, SeriesPlan, SheetPlan
from engine.sheets import MAX_CELLS
from engine.storage import is_remote

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp"})
CONTACT_SHEET: Final = "contact-sheet.jpg"
"""What a batch calls its sheet, and passes over in a folder."""
_LOOKED_AT: Final = 100_000


def list_pictures(folder: Path) -> tuple[Path, ...]:
    """Return the picture files of a folder by name, without contact sheets and folders in it.

    Raise `NotFound` where there is no such folder, `DiskError` for one that cannot be read.
    """
    if is_remote(str(folder)) or not folder.is_dir():
        raise NotFound(f"There is no folder {str(folder)!r:.200}.", "Check the path.")
    try:
        found = [
            path
            for path, _ in zip(folder.iterdir(), range(_LOOKED_AT), strict=False)
            if path.suffix.lower() in SUFFIXES
            and not path.name.startswith(".")
            and path.name != CONTACT_SHEET
        ]
    except OSError as error:
        raise DiskError(
            f"The folder {str(folder)!r:.200} cannot be read: {error.strerror}.",
            "Choose another, or change its rights.",
        ) from error
    return tuple(sorted(path for path in found if path.is_file()))


def plan_batch(
    pictures: Sequence[Path], steps: Sequence[Request], folder: Path, suffix: str, sheet: str | None
) -> SeriesPlan:
    """Return the series that takes every picture through some requests.

    Results go to `folder` under the names of the pictures with another suffix; the second of two
    equal names gets a number, and so does one that is the name of a picture there. sheet: file name
    of the contact sheet there, None = none. Raise `BadRequest` where there are no pictures, or more
    than 1000.
    """
    if not pictures:
        raise BadRequest(
            "There are no pictures to edit.", "Give PNG, JPEG or WebP files, or a folder of them."
        )
    taken = _names_in(folder, pictures)
    if sheet is not None:
        taken.add(sheet.lower())
    items = tuple(
        Item(
            label=picture.name,
            steps=(_begun(steps[0], picture), *steps[1:]),
            output=Output(folder=folder, name=_free_name(picture.stem, suffix, taken)),
        )
        for picture in pictures[: MAX_CELLS + 1]
    )
    plan = None if sheet is None else SheetPlan(folder=folder, name=sheet)
    return SeriesPlan(items=items, sheet=plan)


def _names_in(folder: Path, pictures: Sequence[Path]) -> set[str]:
    """Return the names of the pictures that lie in a folder, which a result there would replace."""
    there = folder.resolve()
    near = (one for one in pictures if not is_remote(str(one)))
    return {one.name.lower() for one in near if one.parent.resolve() == there}


def _begun(request: Request, picture: Path) -> Request:
    """Return a request that begins with a picture and makes one of it."""
    return request.with_values(images=(str(picture), *request.images[1:]), count=1)


def _free_name(stem: str, suffix: str, taken: set[str]) -> str:
    """Return a file name that no other picture of the batch has, on no system; note it."""
    name, number = f"{stem}{suffix}", 2
    while name.lower() in taken:
        name, number = f"{stem}-{number}{suffix}", number + 1
    taken.add(name.lower())
    return name
