"""A symbol is read back by a reader that shares nothing with the writer."""

from __future__ import annotations

import random

import pytest

from engine import BadRequest
from ui.qr import qr_symbol

# By version, from the standard: bytes of a block, of them text, blocks; and where the pattern lies.
BLOCKS = {1: (26, 16, 1), 2: (44, 28, 1), 3: (70, 44, 1), 4: (50, 32, 2), 5: (67, 43, 2)}
BLOCKS[6] = (43, 27, 4)
FORMATS_OF_M = (
    "101010000010010", "101000100100101", "101111001111100", "101101101001011",
    "100010111111001", "100000011001110", "100111110010111", "100101010100000",
)  # fmt: skip
MASKS = (
    lambda i, j: (i + j) % 2,
    lambda i, j: i % 2,
    lambda i, j: j % 3,
    lambda i, j: (i + j) % 3,
    lambda i, j: (i // 2 + j // 3) % 2,
    lambda i, j: (i * j) % 2 + (i * j) % 3,
    lambda i, j: ((i * j) % 2 + (i * j) % 3) % 2,
    lambda i, j: ((i + j) % 2 + (i * j) % 3) % 2,
)


def read(symbol: list[list[bool]]) -> str:
    side = len(symbol)
    version = (side - 17) // 4
    mask = FORMATS_OF_M.index(format_of(symbol))
    assert format_of(symbol) == second_format_of(symbol)
    bits = "".join("01"[symbol[i][j] != (MASKS[mask](i, j) == 0)] for i, j in places(side))
    words = [int(bits[k : k + 8], 2) for k in range(0, len(bits) - 7, 8)]
    length, text_length, count = BLOCKS[version]
    texts = [words[k : text_length * count : count] for k in range(count)]
    checks = [words[text_length * count + k : length * count : count] for k in range(count)]
    for text, check in zip(texts, checks, strict=True):
        assert len(text) + len(check) == length
        assert not any(syndromes(text + check, len(check)))
    stream = "".join(f"{word:08b}" for text in texts for word in text)
    assert stream[:4] == "0100"
    size = int(stream[4:12], 2)
    return bytes(int(stream[12 + 8 * k : 20 + 8 * k], 2) for k in range(size)).decode()


def format_of(symbol) -> str:
    row = [symbol[8][j] for j in (0, 1, 2, 3, 4, 5, 7, 8)]
    column = [symbol[i][8] for i in (7, 5, 4, 3, 2, 1, 0)]
    return "".join("01"[dark] for dark in row + column)


def second_format_of(symbol) -> str:
    column = [symbol[-1 - i][8] for i in range(7)]
    assert symbol[-8][8]
    return "".join("01"[dark] for dark in column + symbol[8][-8:])


def places(side: int):
    """The modules that carry text, in the order of the standard."""
    taken = {(i, j) for i in range(9) for j in range(9)}
    taken |= {(i, j) for i in range(9) for j in range(side - 8, side)}
    taken |= {(i, j) for i in range(side - 8, side) for j in range(9)}
    taken |= {(6, k) for k in range(side)} | {(k, 6) for k in range(side)}
    if side > 21:
        taken |= {(i, j) for i in range(side - 9, side - 4) for j in range(side - 9, side - 4)}
    upward, right = True, side - 1
    while right > 0:
        right -= right == 6
        for step in range(side):
            row = side - 1 - step if upward else step
            yield from ((row, j) for j in (right, right - 1) if (row, j) not in taken)
        upward, right = not upward, right - 2


def syndromes(words: list[int], count: int) -> list[int]:
    powers = [1]
    for _ in range(254):
        doubled = powers[-1] * 2
        powers.append(doubled ^ 0x11D if doubled > 255 else doubled)
    logs = {power: k for k, power in enumerate(powers)}
    found = []
    for root in range(count):
        total = 0
        for word in words:
            total = (powers[(logs[total] + root) % 255] if total else 0) ^ word
        found.append(total)
    return found


TEXTS = [
    "".join(random.Random(size).choices("abcdefghij0123456789-./:", k=size))
    for size in (1, 14, 15, 26, 27, 42, 43, 62, 63, 84, 85, 106)
]


@pytest.mark.parametrize(
    "text", [*TEXTS, "https://1f3d9c27b0e6aa54c1.gradio.live", "grüße 🐈"], ids=len
)
def test_a_text_of_every_size_is_read_back(text):
    assert read(qr_symbol(text)) == text


def test_the_three_corners_look_as_readers_seek_them():
    symbol = qr_symbol("https://abc.gradio.live")
    finder = ["1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111"]
    for rows, columns in (
        (slice(7), slice(7)), (slice(7), slice(-7, None)), (slice(-7, None), slice(7)),
    ):  # fmt: skip
        corner = ["".join("01"[dark] for dark in row[columns]) for row in symbol[rows]]
        assert corner == finder
    line = [symbol[6][j] for j in range(8, len(symbol) - 8)]
    assert line == [j % 2 == 0 for j in range(len(line))]


def test_a_text_that_does_not_fit_is_refused():
    with pytest.raises(BadRequest, match="107 bytes"):
        qr_symbol("x" * 107)
