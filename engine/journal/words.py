"""Turns text into words that can be searched for, in languages with spaces and without."""

from __future__ import annotations

import re
from typing import Final

MAX_WORDS: Final = 16
MAX_CHARACTERS: Final = 400

# Kana, ideographs and Hangul: each sign becomes a word, and what is searched for a row of them.
_SIGN = re.compile("([\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af])")


def spaced(text: str) -> str:
    """Return text with one space between words, and around each sign of a script without spaces."""
    return " ".join(_SIGN.sub(r" \1 ", text.replace("\0", " ")).split())


def indexed_query(text: str) -> str:
    """Return what FTS5 looks for: all words of a text, those of two letters also as a beginning.

    https://www.sqlite.org/fts5.html#full_text_query_syntax. Quotes keep it from reading operators.
    """
    quoted = (('"' + word.replace('"', '""') + '"', len(word) > 1) for word in _words(text))
    return " AND ".join(word + " *" * may_go_on for word, may_go_on in quoted)


def plain_patterns(text: str) -> list[str]:
    """Return a LIKE pattern, with `!` as its escape, for each word of a text."""
    escaped = (re.sub(r"([!%_])", r"!\1", word) for word in _words(text))
    return [f"%{word}%" for word in escaped]


def _words(text: str) -> list[str]:
    """Return the words of what a user typed; what has neither letter nor digit finds nothing."""
    found = (spaced(word) for word in text[:MAX_CHARACTERS].split())
    return [word for word in found if any(map(str.isalnum, word))][:MAX_WORDS]
