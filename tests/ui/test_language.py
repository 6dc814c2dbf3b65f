"""The page speaks the chosen language, or the browser's, and English where it has no words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import JobState, Language, LongPrompt, QueuedJob, Request
from engine.variants import VARIANTS
from ui.components.language import language_markup
from ui.components.queue import queue_markup
from ui.components.restore import restored_markup
from ui.components.styles import reading_markup
from ui.languages import TRANSLATED, choose_language, words_of

ROOT = Path(__file__).parents[2]
PLACE = re.compile(r"\{\w*\}")
PUT = re.compile(r"\{(\d?)[=#]?\w*\}")
WORD = re.compile(r"[A-Za-z]{2}")
SAME = {
    "Atelier Z", "English", "Deutsch", "PyTorch", "cuDNN", "PNG", "WebP", "JPEG", "LoRA", "fp16",
    "bf16", "fp32", "GB", "MB", "{} kB", "{} MB/s", "{}: {} ms", "--lora-partial",
}  # fmt: skip
"""Names and units, which are the same in every language."""
VALUES = {
    "auto", "edit", "redraw", "words", "cut", "sentence", "full", "pytorch", "cudnn", "flash",
    "sage", "png", "webp", "jpeg", "en", "de", "zh", "turbo", "base", "system", "light", "dark",
    "all", "invert", "grow", "shrink",
}  # fmt: skip
"""What choices are called inside."""
ELSEWHERE = {
    "Choose another with --port.", "Use 127.0.0.1, or 0.0.0.0 for your network.",
    "User name: studio. The password was shown when the program started.",
    "User name: guest. The password comes from whoever gave you the link.",
}  # fmt: skip
"""What the terminal says, and the door with the password, which has no part of ours."""
GRADIO = {
    "number input for {}", "range slider for {}", "Reset to default value",
    "Click to upload or drop files", "File upload",
}  # fmt: skip
"""What the page's parts call themselves."""


def texts(file: Path) -> Iterator[str]:
    """Every text in a file but docstrings and the keys of tables; places of values are {}."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    left: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            left.update(key for key in node.keys if key is not None)
        elif isinstance(node, ast.Expr):
            left.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            left.update(node.values)
        elif isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            left.update(ast.walk(node.format_spec))
    for node in ast.walk(tree):
        if node in left:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
            yield "".join(map(str, parts)).strip()
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.strip()


def sentences() -> set[str]:
    """What the page says by itself, in words."""
    files = (*ROOT.glob("ui/*strings.py"),)
    found = {text for file in files for text in texts(file)}
    return {text for text in found if WORD.search(PLACE.sub("", text))}


def said_anywhere() -> set[str]:
    files = (*ROOT.glob("ui/**/*.py"), *ROOT.glob("engine/**/*.py"))
    return {text for file in files for text in texts(file)} | GRADIO


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_of_the_page_is_translated(language):
    missing = sentences() - set(words_of(language)) - SAME - VALUES - ELSEWHERE
    assert not missing


@pytest.mark.parametrize("language", TRANSLATED)
def test_what_models_are_is_translated(language):
    notes = {text for v in VARIANTS for text in (v.summary, v.unavailable) if text}
    assert notes <= set(words_of(language))


@pytest.mark.parametrize("language", TRANSLATED)
def test_nothing_is_translated_that_nobody_says(language):
    assert set(words_of(language)) <= said_anywhere()


def test_no_word_is_left_out_without_need():
    assert sentences() >= (SAME | VALUES | ELSEWHERE)


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_translation_puts_each_text_of_its_sentence_once(language):
    for english, words in words_of(language).items():
        count = len(PLACE.findall(english))
        places = PUT.findall(words)
        numbers = sorted(int(number or index) for index, number in enumerate(places, 1))
        assert numbers == list(range(1, count + 1)), english
        assert words.strip() == words != ""
        assert english.strip() == english


def test_one_word_is_used_for_one_thing():
    german = "\n".join(words_of(Language.GERMAN).values())
    for other in ("Beschreibung", "Startwert", "Führung", "Verfahren", "Preset", "Batch"):
        assert other not in german


def test_what_users_wrote_is_marked_as_not_to_be_translated():
    asked = Request(prompt="Edit")
    job = QueuedJob(id="1", state=JobState.WAITING, session="", request=asked)
    told = (
        queue_markup([job], owner=True),
        restored_markup(asked, "Edit", ()),
        reading_markup(None, LongPrompt.CUT, ("Edit",), 0),
    )
    for markup in told:
        assert re.search(r'translate="no">(<li>)?Edit<', markup), markup


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
