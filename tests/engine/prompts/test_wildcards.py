"""Word lists and choices: what is drawn, in which order, and what is left as it is."""

from __future__ import annotations

import pytest

from engine.errors import BadRequest, FileRejected
from engine.presets import Presets
from engine.prompts.wildcards import MAX_CHARACTERS, MAX_DEPTH, Wildcards


@pytest.fixture
def lists(tmp_path):
    """Return what keeps lists of words in a folder and reads them."""

    def keep(**words):
        for name, lines in words.items():
            (tmp_path / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
        return Wildcards([tmp_path])

    return keep


def drawn(wildcards, text, seeds=60):
    return {wildcards.expand(text, seed).prompt for seed in range(seeds)}


def test_a_name_takes_each_line_of_its_list(lists):
    wildcards = lists(colour=["red", "  blue  ", "", "# a comment", "deep green"])
    assert drawn(wildcards, "a __colour__ hat") == {"a red hat", "a blue hat", "a deep green hat"}


def test_braces_take_each_choice_and_may_be_empty(lists):
    assert drawn(lists(), "a {red|dark blue| } hat") == {"a red hat", "a dark blue hat", "a  hat"}


def test_the_same_seed_draws_the_same_words(lists):
    wildcards = lists(n=[str(number) for number in range(1000)])
    text = "__n__ {a|b|c|d} __n__"
    assert wildcards.expand(text, 7) == wildcards.expand(text, 7)
    assert len(drawn(wildcards, text)) > 50


def test_lists_and_choices_lead_into_each_other(lists):
    wildcards = lists(who=["{an old|a young} __trade__"], trade=["baker", "smith"])
    assert drawn(wildcards, "{__who__|a fox}") == {
        "an old baker", "an old smith", "a young baker", "a young smith", "a fox",
    }  # fmt: skip


def test_what_was_drawn_is_told_in_its_order(lists):
    wildcards = lists(who=["{the} __trade__"], trade=["baker"])
    expansion = wildcards.expand("__who__ and {x|x}", 1)
    assert expansion.prompt == "{the} baker and x"
    assert expansion.drawn == (
        ("__who__", "{the} baker"), ("__trade__", "baker"), ("{x|x}", "x"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "plain words", "a | b", "{a}", "}{", "{", "a {b", "a} b", "{}", "_a_ __", "____", "__ a __",
        "C:\\path", '{"x": 1}', "__a b__", "__.__",
    ],
)  # fmt: skip
def test_what_is_no_wildcard_stays_as_it_is(lists, text):
    assert lists().expand(text, 1).prompt == text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("\\{a|b\\}", "{a|b}"),
        ("\\__colour__", "__colour__"),
        ("{a\\|b|a\\|b}", "a|b"),
        ("{\\{|\\{}", "{"),
        ("{a\\b|a\\b}", "a\\b"),
    ],
)
def test_a_backslash_takes_a_sign_as_it_is(lists, text, meant):
    assert lists(colour=["red"]).expand(text, 1).prompt == meant


def test_an_unknown_list_is_named_beside_those_there_are(lists):
    with pytest.raises(BadRequest, match=r"no word list 'color'.*colour"):
        lists(colour=["red"]).expand("__color__", 1)


def test_a_list_of_a_later_folder_takes_the_place_of_an_earlier_one(tmp_path):
    for folder, word in (("a", "red"), ("b", "blue")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "colour.txt").write_text(word)
    wildcards = Wildcards([tmp_path / "a", tmp_path / "b", tmp_path / "missing"])
    assert wildcards.expand("__colour__", 1).prompt == "blue"


def test_names_may_be_of_any_language(lists):
    wildcards = lists(颜色=["朱红"])
    assert wildcards.names == ("颜色",)
    assert wildcards.expand("__颜色__的鸟", 1).prompt == "朱红的鸟"


def test_an_empty_list_is_refused(lists):
    with pytest.raises(FileRejected, match="empty"):
        lists(nothing=["# only this", ""]).expand("__nothing__", 1)


def test_depth_has_a_limit(lists):
    text = "x"
    for _ in range(MAX_DEPTH):
        text = f"{{{text}|{text}}}"
    assert lists().expand(text, 1).prompt == "x"
    for seed in range(10):
        with pytest.raises(BadRequest, match="deep"):
            lists().expand(f"{{x|{text}}}", seed)
    assert lists().expand("{a|b}" * 20, 1).prompt.strip("ab") == ""


def test_a_long_prompt_without_wildcards_is_left_alone_and_one_with_them_refused(lists):
    long = "a" * (MAX_CHARACTERS + 1)
    assert lists().expand(long, 1).prompt == long
    with pytest.raises(BadRequest, match="8,193"):
        lists().expand("{" + long[1:], 1)


def test_every_list_of_the_program_can_be_drawn_from():
    wildcards = Presets().wildcards
    assert len(wildcards.names) >= 20
    for name in wildcards.names:
        for seed in range(20):
            prompt = wildcards.expand(f"__{name}__", seed).prompt
            assert prompt
            assert not {"__", "{", "|"} & {prompt[i : i + 2] for i in range(len(prompt))}
            assert "{" not in prompt
