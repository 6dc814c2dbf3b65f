"""The page speaks the chosen language, or the browser's, and English where it has no words."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from engine import Language
from ui.components.language import language_markup
from ui.languages import TRANSLATED, choose_language, words_of

ROOT = Path(__file__).parents[2]
PLACE = re.compile(r"\{\w*\}")


def sentences() -> set[str]:
    """Every text in the files of the page's sentences and of the models, which name their sizes.

    Of those with values, the fixed parts.
    """
    found: set[str] = set()
    for file in (*ROOT.glob("ui/*strings.py"), *ROOT.glob("engine/variants/*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else "{}" for part in node.values
                ]
                found.add("".join(parts))
    return found


@pytest.mark.parametrize("language", TRANSLATED)
def test_only_sentences_of_the_page_are_translated_and_all_in_both_languages(language):
    words = words_of(language)
    assert set(words) <= sentences()
    assert set(words) == set(words_of(TRANSLATED[0]))
    assert len(words) >= 200


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_translation_has_the_places_of_its_sentence_and_is_another_text(language):
    for english, words in words_of(language).items():
        assert PLACE.findall(words) == PLACE.findall(english), english
        assert words.strip() == words != ""
    same = [english for english, words in words_of(language).items() if words == english]
    assert len(same) <= 10


def test_english_needs_no_words():
    assert words_of(Language.ENGLISH) == words_of(Language.AUTO) == {}
    assert 'data-words="{}"' in language_markup(Language.ENGLISH)


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "de"), ("en-US,en;q=0.9,de;q=0.8", "en"), ("zh-CN", "zh"),
        ("fr-FR,fr;q=0.9,zh;q=0.5,en;q=0.4", "zh"), ("fr", "en"), ("", "en"), ("*", "en"),
        ("de;q=0", "en"), ("de;q=zero", "en"), ("DE", "de"), (";;q=,,", "en"), ("de " * 9999, "en"),
        ("en;q=0.1, de;q=0.2", "de"), ("dea", "en"),
    ],
)  # fmt: skip
def test_the_browsers_first_language_that_is_known_is_spoken(accepted, language):
    assert choose_language(Language.AUTO, accepted) == language


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_a_chosen_language_is_spoken_whatever_the_browser_says(language):
    assert choose_language(Language(language), "fr,zh,de,en") == language
