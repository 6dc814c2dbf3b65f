"""The page's sentences in other languages: a file of each, by the English sentence.

`{}` or `{name}` in a sentence stands for any text. In its translation `{}` is the next of these
texts, `{2}` the second, `{=}` or `{2=}` one that is translated itself, and `{#}` one that must be a
number. What a file lacks stays English.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from engine import Language

FOLDER: Final = Path(__file__).parent
TRANSLATED: Final = (Language.GERMAN, Language.CHINESE)

_ASKED: Final = re.compile(r"([a-z]{2,3})(?:-[a-z0-9-]+)?(?:;q=([0-9.]{1,5}))?")


def words_of(language: Language) -> dict[str, str]:
    """Return the translations into a language; none for English."""
    if language not in TRANSLATED:
        return {}
    words: dict[str, str] = json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    return words


def choose_language(wanted: Language, accepted: str) -> Language:
    """Return the language to speak: the one chosen, else the browser's best that we know.

    accepted: the browser's Accept-Language header.
    """
    if wanted is not Language.AUTO:
        return wanted
    best, known = 0.0, {str(language): language for language in (Language.ENGLISH, *TRANSLATED)}
    chosen = Language.ENGLISH
    for part in accepted.lower().replace(" ", "").split(",")[:16]:
        asked = _ASKED.fullmatch(part)
        weight = _weight(asked[2]) if asked else 0.0
        if asked and asked[1] in known and weight > best:
            best, chosen = weight, known[asked[1]]
    return chosen


def _weight(text: str | None) -> float:
    try:
        return 1.0 if text is None else float(text)
    except ValueError:
        return 0.0
