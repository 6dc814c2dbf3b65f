"""Recipes written to harm: code, templates, odd values and broken JSON stay plain data."""

from __future__ import annotations

import json
import random

import pytest

from engine.errors import FileRejected
from engine.images.metadata import read_recipe, request_from_recipe
from engine.request import Request
from tests.engine.images.pictures import small_png, text_chunk
from tests.faults.pace import assert_quick

FIELDS = tuple(Request(prompt="").to_json())

# {touch} stands for a command that would leave a file behind.
CODE = (
    "__import__('os').system('{touch}')",
    "eval(\"__import__('os').system('{touch}')\")",
    "exec('import os; os.system(\"{touch}\")')",
    "$({touch})",
    "`{touch}`",
    "; {touch}",
    "| {touch}",
    "&& {touch} &&",
    "\n{touch}\n",
    "{{{{ cycler.__init__.__globals__.os.popen('{touch}').read() }}}}",
    "{{% import os %}}{{{{ os.system('{touch}') }}}}",
    "${{jndi:ldap://127.0.0.1/a}}",
    "!!python/object/apply:os.system ['{touch}']",
    "{{0.__class__.__mro__}}",
    "%(__import__('os').system('{touch}'))s",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "cos\nsystem\n(S'{touch}'\ntR.",
    "../../../../etc/passwd",
    "\\\\127.0.0.1\\share\\x",
    "file:///etc/passwd",
    "\x00",
    "\x1b]0;title\x07",
    "{{'a': 1}}",
    "NaN",
    "1e999",
    "-1",
    "true",
    "null",
    "[" * 500,
)
ODD = (
    None,
    True,
    False,
    0,
    -1,
    1,
    8,
    2**31,
    2**63,
    10**19,
    1.5,
    -0.0,
    1e308,
    "",
    " ",
    "8",
    "auto",
    [],
    [1],
    [[]],
    {},
    {"a": 1},
    {"__class__": "os"},
    "x" * 5000,
    "\ud800",
    "🐈",
    list(range(100)),
)


def _picture(data: bytes, kind: bytes = b"tEXt") -> bytes:
    return small_png(text_chunk(kind, b"recipe", data))


def _answer(picture: bytes) -> tuple[Request, tuple[str, ...]] | FileRejected:
    try:
        return request_from_recipe(read_recipe(picture))
    except FileRejected as error:
        return error


def _take(picture: bytes) -> str:
    """Read a recipe and its request, within time; say how it went."""
    answers = list[tuple[Request, tuple[str, ...]] | FileRejected]()
    assert_quick(lambda: answers.append(_answer(picture)), 0.02)
    if isinstance(answers[0], FileRejected):
        assert len(str(answers[0])) < 500
        return "refused"
    request, notes = answers[0]
    assert isinstance(request, Request)
    assert Request.from_json(request.to_json()) == request
    assert all(len(note) < 500 for note in notes)
    return "noted" if notes else "taken"


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iTXz"])
@pytest.mark.parametrize("code", CODE, ids=range(len(CODE)))
def test_code_in_any_field_is_never_run(code, kind, data_folder):
    marker = data_folder / "touched"
    text = code.format(touch=f"touch {marker}")
    for field in FIELDS:
        recipe = {"version": 1, "request": {"prompt": "a cat", field: text}}
        assert _take(_picture(json.dumps(recipe).encode(), kind)) != "refused"
    _take(_picture(text.encode(), kind))
    _take(_picture(json.dumps({"version": text, "program": text, text: text}).encode(), kind))
    assert not marker.exists()


def test_code_in_a_prompt_comes_back_letter_for_letter():
    for code in CODE:
        recipe = {"version": 1, "request": {"prompt": code}}
        request, notes = request_from_recipe(read_recipe(_picture(json.dumps(recipe).encode())))
        assert request.prompt == code or (notes and "\0" in code)


def _odd_recipe(chance: random.Random) -> object:
    fields = chance.sample(FIELDS, chance.randrange(6))
    request = {"prompt": "a cat", **{name: chance.choice(ODD) for name in fields}}
    if chance.random() < 0.3:
        request["no such field"] = chance.choice(ODD)
    recipe = {"version": chance.choice((1, 1, 1, *ODD)), "request": request}
    if chance.random() < 0.1:
        recipe[chance.choice(("version", "request", "warnings", ""))] = chance.choice(ODD)
    return chance.choice(ODD) if chance.random() < 0.05 else recipe


def _broken(text: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(text) + 1)
    match chance.randrange(4):
        case 0:
            return text[:place]
        case 1:
            return text[:place] + chance.randbytes(3) + text[place:]
        case 2:
            return (
                text[:place]
                + chance.choice([b"NaN", b"[" * 3000, b"1e999", b'"', b"\\u12"])
                + text[place:]
            )
        case _:
            return text.replace(b'"version"', b'"request"')


def test_two_thousand_hostile_texts_are_refused_or_noted_and_nothing_else():
    chance = random.Random(6)
    counts = {"refused": 0, "noted": 0, "taken": 0}
    for _ in range(2000):
        text = json.dumps(_odd_recipe(chance)).encode()
        counts[_take(_picture(_broken(text, chance) if chance.random() < 0.4 else text))] += 1
    assert min(counts.values()) > 10
