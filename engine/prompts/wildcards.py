"""Wildcards: `__name__` takes a line of a word list, `{a|b}` one of several words.

A backslash before `{`, `|`, `}` or `_` takes that character as it is. Braces without a bar stand
for themselves. What is drawn follows from a seed alone.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from engine.checks import check_text
from engine.errors import BadRequest, FileRejected, NotFound
from engine.storage import read_bounded

SUFFIX: Final = ".txt"
COMMENT: Final = "#"
MAX_FILES: Final = 1000
MAX_FILE_BYTES: Final = 1024 * 1024
MAX_CHARACTERS: Final = 8192
"""Of a prompt with wildcards, before and after."""

MAX_DEPTH: Final = 5
MAX_DRAWS: Final = 1000
MAX_READ: Final = 8 * MAX_CHARACTERS
"""Characters of drawn words that are looked through for further wildcards."""

_NAME: Final = r"[^\W_]+(?:[-_][^\W_]+)*"
_FILE_NAME = re.compile(_NAME)
_MARK = re.compile(rf"\\[{{|}}_]|[{{|}}]|__({_NAME})__")
_HINT = re.compile(r"__|\{")
_SIMPLER: Final = "Use fewer of them, or put them less deep."


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """prompt: with everything drawn. drawn: what was, as (wildcard, words), in its order."""

    prompt: str
    drawn: tuple[tuple[str, str], ...] = ()


class Wildcards:
    """The word lists in some folders; a later folder's list takes the place of an earlier one's."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)

    @cached_property
    def _files(self) -> dict[str, Path]:
        return {path.stem: path for folder in self._folders for path in _lists(folder)}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the lists there are, sorted."""
        return tuple(sorted(self._files))

    def words(self, name: str) -> tuple[str, ...]:
        """Return the lines of a list without blank ones and comments.

        Raise `BadRequest` for a name that is none of the list, `FileRejected` for a bad file.
        """
        path = self._files.get(name)
        if path is None:
            raise BadRequest(
                f"There is no word list {name!r:.80}.",
                f"There are: {', '.join(self.names) or 'none'}. To write __{name:.40}__ itself, "
                "put a backslash before it.",
            )
        data = _read(path)
        lines = (line.strip() for line in data.splitlines())
        found = tuple(line for line in lines if line and not line.startswith(COMMENT))
        if not found:
            raise FileRejected(f"The word list {name} is empty.", "Write one entry on each line.")
        return found

    def expand(self, text: str, seed: int) -> Expansion:
        """Return a prompt in which every wildcard is replaced, the same ones for the same seed.

        Raise `BadRequest` for an unknown list and for what is too long, too deep or grows beyond
        the limits, and `FileRejected` for a list that cannot be read.
        """
        check_text("prompt", text)
        if not _HINT.search(text):
            return Expansion(prompt=text)
        if len(text) > MAX_CHARACTERS:
            raise BadRequest(
                f"The prompt has {len(text):,} characters; with word lists or choices it may have "
                f"{MAX_CHARACTERS:,}.",
                "Shorten it, or put a backslash before each _, { and |.",
            )
        draw = _Draw(self, random.Random(seed))  # noqa: S311 (a picture's words are no secret)
        prompt = draw.expand(text, 0)
        return Expansion(prompt=prompt, drawn=tuple(draw.drawn))


@dataclass(slots=True)
class _Draw:
    """One expansion under way. read, length: characters looked through and written so far."""

    lists: Wildcards
    rng: random.Random
    drawn: list[tuple[str, str]] = field(default_factory=list)
    kept: dict[str, tuple[str, ...]] = field(default_factory=dict)
    draws: int = 0
    read: int = 0

    def expand(self, text: str, depth: int) -> str:
        """Replace the wildcards of a text; raise `BadRequest` beyond the limits."""
        groups = _groups(text)
        # Counted whole, so that it does not hang on the draw whether a prompt is too deep.
        if depth + _nesting(groups) > MAX_DEPTH:
            raise BadRequest(
                f"Word lists and choices lead into each other more than {MAX_DEPTH} deep.", _SIMPLER
            )
        written = "".join(self._pieces(text, groups, depth))
        if len(written.encode()) > MAX_CHARACTERS:
            raise BadRequest(
                f"The word lists make the prompt longer than {MAX_CHARACTERS:,} bytes.", _SIMPLER
            )
        return written

    def _pieces(self, text: str, groups: Mapping[int, Sequence[int]], depth: int) -> Iterator[str]:
        position = 0
        for found in _MARK.finditer(text):
            start = found.start()
            if start < position:
                continue
            yield text[position:start]
            position = found.end()
            if found[0].startswith("\\"):
                yield found[0][1]
            elif found[1] is not None:
                yield self._from_list(found[1], depth)
            elif start in groups:
                position = groups[start][-1] + 1
                yield self._one_of(text, start, groups[start], depth)
            else:
                yield found[0]
        yield text[position:]

    def _from_list(self, name: str, depth: int) -> str:
        if name not in self.kept:
            self.kept[name] = self.lists.words(name)
        return self._draw(f"__{name}__", self.kept[name], depth)

    def _one_of(self, text: str, start: int, marks: Sequence[int], depth: int) -> str:
        """Draw from a group that opens at `start`; marks: where its bars are, and its end."""
        edges = [start, *marks]
        options = [text[a + 1 : b].strip() for a, b in zip(edges, marks, strict=False)]
        return self._draw(text[start : marks[-1] + 1], options, depth)

    def _draw(self, what: str, options: Sequence[str], depth: int) -> str:
        chosen = self.rng.choice(options)
        self.draws += 1
        self.read += len(chosen)
        if self.draws > MAX_DRAWS or self.read > MAX_READ:
            raise BadRequest("The word lists draw too many words for one prompt.", _SIMPLER)
        place = len(self.drawn)
        written = self.expand(chosen, depth + 1)
        # Before what was drawn inside it, as it stands in the prompt.
        self.drawn.insert(place, (what, written))
        return written


def _groups(text: str) -> dict[int, list[int]]:
    """Return the bars and the end of each group of choices, by where it opens.

    Braces without a partner, or without a bar of their own, open none.
    """
    groups: dict[int, list[int]] = {}
    opened: list[tuple[int, list[int]]] = []
    for found in _MARK.finditer(text):
        match found[0]:
            case "{":
                opened.append((found.start(), []))
            case "|" if opened:
                opened[-1][1].append(found.start())
            case "}" if opened:
                start, bars = opened.pop()
                if bars:
                    groups[start] = [*bars, found.start()]
    return groups


def _nesting(groups: Mapping[int, Sequence[int]]) -> int:
    """Return how deep groups of choices, as `_groups` gives them, lie in each other."""
    ends: list[int] = []
    deepest = 0
    for start in sorted(groups):
        while ends and ends[-1] < start:
            ends.pop()
        ends.append(groups[start][-1])
        deepest = max(deepest, len(ends))
    return deepest


def _lists(folder: Path) -> list[Path]:
    """Return the word lists of a folder: plain files of its own, whose names can be written."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return []
    return [
        Path(entry.path)
        for entry in entries
        if entry.name.endswith(SUFFIX)
        and entry.is_file(follow_symlinks=False)
        and _FILE_NAME.fullmatch(entry.name.removesuffix(SUFFIX))
    ][:MAX_FILES]


def _read(path: Path) -> str:
    try:
        return read_bounded(path, MAX_FILE_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileRejected(
            f"The word list {path.name!r:.80} is no text in UTF-8.", "Save it as UTF-8."
        ) from error
    except NotFound as error:
        raise FileRejected(f"The word list {path.name!r:.80} is gone.", "Load it again.") from error
