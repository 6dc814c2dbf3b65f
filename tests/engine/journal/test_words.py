"""What a user types is looked for letter by letter, never read as a command."""

from __future__ import annotations

import pytest

from engine.journal.words import MAX_WORDS, indexed_query, plain_patterns, spaced


def test_each_sign_of_a_script_without_spaces_becomes_a_word():
    assert spaced("a 猫咪in the 森林") == "a 猫 咪 in the 森 林"


def test_words_may_go_on_unless_they_are_a_single_letter():
    assert indexed_query("red f fox") == '"red" * AND "f" AND "fox" *'


@pytest.mark.parametrize("text", ['"', "* OR *", "NEAR(", "a AND", "text:x", "-b", "^c", "{d}"])
def test_operators_are_words_like_any_other(text):
    assert indexed_query(text).count('"') == 2 * len(
        [w for w in text.split() if any(map(str.isalnum, w))]
    )


def test_a_quote_inside_a_word_is_kept():
    assert indexed_query('say"hi') == '"say""hi" *'


def test_wildcards_of_the_plain_search_are_letters():
    assert plain_patterns("50%_off!") == ["%50!%!_off!!%"]


def test_endless_input_is_cut():
    assert len(plain_patterns("ab " * 10_000)) == MAX_WORDS
    assert max(map(len, plain_patterns("a" * 10_000))) <= 402
