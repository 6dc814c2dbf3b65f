"""All presets there are: the program's, and those that the user keeps in the data folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import BadRequest, DiskError, FileRejected, NotFound
from engine.presets.files import check_title, read_folder
from engine.presets.full import (
    DEFAULTS,
    KEPT,
    Preset,
    check_settings,
    read_defaults,
    read_preset,
    write_settings,
)
from engine.presets.sizes import Shape, shapes
from engine.presets.styles import Style, styles
from engine.prompts.wildcards import Wildcards
from engine.storage import project_root

FOLDER: Final = "presets"
"""Inside the program's folder and inside the data folder."""

STYLES: Final = "styles"
SIZES: Final = "sizes"
FULL: Final = "full"
WILDCARDS: Final = "wildcards"
OWN_DEFAULTS: Final = "defaults"

_NOT_IN_NAMES = re.compile(r"[^\w-]+")
_NAME_CHARACTERS: Final = 40


@dataclass(frozen=True, slots=True)
class Presets:
    """The presets of the program and, where `data_dir` is given, of the user, who may add some."""

    data_dir: Path | None = None

    @property
    def styles(self) -> tuple[tuple[Style, ...], tuple[str, ...]]:
        """The styles, and what to tell of files that are wrong."""
        return styles(self._folders(STYLES))

    @property
    def shapes(self) -> tuple[tuple[Shape, ...], tuple[str, ...]]:
        """The shapes, and what to tell of files that are wrong."""
        return shapes(self._folders(SIZES))

    @property
    def wildcards(self) -> Wildcards:
        """The word lists."""
        return Wildcards(self._folders(WILDCARDS))

    @property
    def full(self) -> tuple[tuple[Preset, ...], tuple[str, ...]]:
        """The full presets by title, and what to tell of files that are wrong."""
        found: dict[str, Preset] = {}
        notices: list[str] = []
        for folder in self._folders(FULL):
            presets, told = read_folder(folder, read_preset)
            notices += told
            found |= {preset.title: preset for preset in presets}
        return tuple(found.values()), tuple(notices)

    def style(self, title: str) -> Style:
        """Return the style of a title; raise `NotFound`."""
        found = next((style for style in self.styles[0] if style.title == title), None)
        if found is None:
            raise NotFound(f"There is no style {title!r:.80}.", "Pick one from the list.")
        return found

    def preset(self, title: str) -> Preset:
        """Return the full preset of a title; raise `NotFound`."""
        found = next((preset for preset in self.full[0] if preset.title == title), None)
        if found is None:
            raise NotFound(f"There is no preset {title!r:.80}.", "Pick one from the list.")
        return found

    def is_own(self, title: str) -> bool:
        """Say whether the user kept a full preset of this title."""
        return self.data_dir is not None and self._file(title).is_file()

    def keep(self, title: str, settings: Mapping[str, object], style: str | None = None) -> Preset:
        """Keep settings, JSON values by field of a request, as a full preset of the user.

        Fields that a preset does not hold, and those of None, stay out. One of the same title is
        replaced. Raise `BadRequest`, `DiskError`.
        """
        title = title.strip()
        try:
            check_title(title, "The preset")
            kept, notices = check_settings(_only(settings, KEPT), "The preset", KEPT)
        except FileRejected as error:
            raise BadRequest(error.message, "Choose a short name.") from error
        values: dict[str, object] = {"title": title, "settings": dict(kept)}
        write_settings(self._file(title), values | ({"style": style} if style else {}))
        return Preset(title=title, settings=kept, style=style, notices=notices)

    def remove(self, title: str) -> None:
        """Delete a full preset of the user; raise `NotFound` for any other, or `DiskError`."""
        if not self.is_own(title):
            raise NotFound(
                f"There is no preset {title!r:.80} of your own.", "Pick one that you saved."
            )
        _delete(self._file(title))

    def defaults(self, variant: str) -> tuple[Mapping[str, object], tuple[str, ...]]:
        """Return the user's own defaults of a model by field, and what was left out of them.

        Never fails: a file that holds something else holds none.
        """
        try:
            return ({}, ()) if self.data_dir is None else read_defaults(self._defaults(variant))
        except NotFound:
            return {}, ()
        except FileRejected as error:
            return {}, (f"{error.message} It is left out.",)

    def keep_defaults(self, variant: str, settings: Mapping[str, object]) -> Mapping[str, object]:
        """Keep settings as the user's own defaults of a model, and return what was kept.

        Raise `BadRequest`, `DiskError`.
        """
        kept, _ = check_settings(_only(settings, DEFAULTS), "The defaults", DEFAULTS)
        write_settings(self._defaults(variant), {"settings": dict(kept)})
        return kept

    def forget_defaults(self, variant: str) -> bool:
        """Go back to the program's defaults of a model; return False where there were no own.

        Raise `DiskError`.
        """
        path = self._defaults(variant)
        found = path.is_file()
        _delete(path)
        return found

    def _folders(self, kind: str) -> list[Path]:
        own = [] if self.data_dir is None else [self.data_dir / FOLDER / kind]
        return [project_root() / FOLDER / kind, *own]

    def _own(self, kind: str) -> Path:
        if self.data_dir is None:
            raise BadRequest("Presets are kept only on the computer itself.")
        return self.data_dir / FOLDER / kind

    def _file(self, title: str) -> Path:
        return self._own(FULL) / f"{_file_name(title)}.json"

    def _defaults(self, variant: str) -> Path:
        return self._own(OWN_DEFAULTS) / f"{_file_name(variant)}.json"


def _only(settings: Mapping[str, object], names: tuple[str, ...]) -> dict[str, object]:
    return {name: settings[name] for name in names if settings.get(name) is not None}


def _file_name(title: str) -> str:
    """Return a file name of a title's own, which is none of those that systems keep for devices."""
    readable = _NOT_IN_NAMES.sub("-", title.lower())[:_NAME_CHARACTERS].strip("-")
    return f"{readable}-{hashlib.sha256(title.encode()).hexdigest()[:8]}"


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(
            f"{path.name} could not be deleted: {error.strerror}.",
            "Check the rights of its folder.",
        ) from error
