"""How a prompt is read: its tokens, where a long one ends, and what is told of it."""

from __future__ import annotations

import pytest

from engine.checkpoints.tokenizer import read_tokenizer
from engine.prompts.reading import MOST_TOKENS, TEMPLATE, TRAINED_TOKENS, read_prompt
from engine.request import LongPrompt
from engine.variants import by_name

TEMPLATE_TOKENS = 15


@pytest.fixture(scope="module")
def tokenizer():
    folder = by_name("demo-turbo").folder
    return read_tokenizer(folder / "tokenizer" / "tokenizer.json", 100_000)


def sentences(count, words="a red circle on a blue background"):
    return " ".join(f"{words}." for _ in range(count))


def text_of(tokenizer, reading):
    return tokenizer.decode(list(reading.ids), skip_special_tokens=False)


def test_a_short_prompt_is_read_whole_in_every_way(tokenizer):
    whole = tuple(tokenizer.encode("a red heart".join(TEMPLATE)).ids)
    for way in LongPrompt:
        reading = read_prompt(tokenizer, "a red heart", way)
        assert reading.ids == whole
        assert reading.total == len(whole)
        assert (reading.left_out, reading.notice) == ("", None)


def test_a_cut_is_the_first_512_tokens_of_the_template_too(tokenizer):
    prompt = sentences(100)
    reading = read_prompt(tokenizer, prompt)
    assert list(reading.ids) == tokenizer.encode(prompt.join(TEMPLATE)).ids[:TRAINED_TOKENS]
    assert prompt.endswith(reading.left_out)
    assert 0 < len(reading.left_out) < len(prompt)


def test_what_a_cut_leaves_out_and_what_it_keeps_make_the_whole(tokenizer):
    prompt = sentences(100)
    reading = read_prompt(tokenizer, prompt)
    kept = prompt.removesuffix(reading.left_out)
    assert tuple(tokenizer.encode(TEMPLATE[0] + kept).ids) == reading.ids


@pytest.mark.parametrize("stop", [".", "!", "?", ".”", "。", "！", "\n"])  # noqa: RUF001
def test_an_end_at_a_sentence_keeps_whole_sentences_and_the_template(tokenizer, stop):
    one = f"a red circle on a blue background{stop}"
    prompt = " ".join([one] * 100)
    reading = read_prompt(tokenizer, prompt, LongPrompt.SENTENCE)
    kept = prompt[: len(prompt.rstrip()) - len(reading.left_out)].rstrip(" ")
    assert kept.endswith(stop)
    assert list(reading.ids) == tokenizer.encode(kept.join(TEMPLATE)).ids
    assert len(reading.ids) <= TRAINED_TOKENS
    assert len(reading.ids) > TRAINED_TOKENS - 2 * len(tokenizer.encode(one).ids)


def test_one_endless_sentence_ends_at_a_word_and_one_endless_word_is_cut(tokenizer):
    endless = read_prompt(tokenizer, "circle " * 600, LongPrompt.SENTENCE)
    assert len(endless.ids) <= TRAINED_TOKENS
    assert endless.left_out.startswith("circle ")
    word = read_prompt(tokenizer, "q" * 3000, LongPrompt.SENTENCE)
    assert len(word.ids) == TRAINED_TOKENS
    assert set(word.left_out) == {"q"}


def test_full_reads_up_to_1504_tokens_and_cuts_beyond(tokenizer):
    within = read_prompt(tokenizer, sentences(100), LongPrompt.FULL)
    assert TRAINED_TOKENS < len(within.ids) == within.total <= MOST_TOKENS
    assert "trained on at most 512" in within.notice
    beyond = read_prompt(tokenizer, sentences(1000), LongPrompt.FULL)
    assert len(beyond.ids) == MOST_TOKENS


def test_the_notice_counts_and_quotes_the_beginning_of_what_is_left_out(tokenizer):
    prompt = sentences(70) + " and the very last of all words."
    reading = read_prompt(tokenizer, prompt)
    assert reading.notice.startswith(
        f"The prompt has {reading.total} tokens; only the first 512 are read. Left out: “"
    )
    assert len(reading.notice) < 200


def test_the_greatest_prompt_is_read_in_time(tokenizer):
    for way in LongPrompt:
        reading = read_prompt(tokenizer, "a red circle. " * 7000, way)
        assert len(reading.ids) <= MOST_TOKENS
