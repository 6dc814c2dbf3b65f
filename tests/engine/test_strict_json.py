"""JSON texts from strangers either parse within bounds or are refused with a sentence."""

from __future__ import annotations

import pytest

from engine import strict_json
from engine.errors import FileRejected
from tests.faults.pace import assert_quick


def _parse(text: str | bytes, **options):
    data = text if isinstance(text, bytes) else text.encode()
    return strict_json.parse(data, "The file", **{"max_bytes": 1_000_000, **options})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, -2.5e3, true, null, "x"]}', {"a": [1, -2500.0, True, None, "x"]}),
        ('\ufeff{"a": 1}', {"a": 1}),
        ("99999999999999999999", 99999999999999999999),
        ('"\\ud83d\\udc08"', "🐈"),
        ("7", 7),
    ],
)
def test_a_plain_text_is_parsed(text, value):
    assert _parse(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "{", "[1,]", "{'a': 1}", "nul", '{"a": 1} x', "NaN", "[Infinity]", "-Infinity",
        "1e999", "[-1e999]", "9" * 21, "9" * 5000, '{"a": 1, "a": 2}', '[{"a": {"b": 1, "b": 1}}]',
        b"\xff\xfe{\0}\0", b'"\xc0\x80"', '"\n"', "[" * 100_000, '{"a":' * 100_000,
        "[" * 100_000 + "]" * 100_000, "\0",
    ],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_a_hostile_text_is_refused_at_once(text):
    def refused() -> None:
        with pytest.raises(FileRejected, match=r"^The file "):
            _parse(text)

    assert_quick(refused, 0.2)


def test_the_depth_counts_lists_and_objects():
    assert _parse('[{"a": [1]}]', max_depth=3) == [{"a": [1]}]
    with pytest.raises(FileRejected, match="deeper than 2"):
        _parse('[{"a": [1]}]', max_depth=2)
    with pytest.raises(FileRejected, match="deeper than 1"):
        _parse("[[]]", max_depth=1)


def test_a_long_text_is_refused_by_its_length():
    with pytest.raises(FileRejected, match="has 12 bytes, more than 11"):
        _parse('"0123456789"', max_bytes=11)
