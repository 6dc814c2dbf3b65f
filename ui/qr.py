"""A link as a picture that a phone reads (QR code, ISO/IEC 18004).

Texts are written as bytes, with error correction of level M, in the six smallest sizes: up to 106
bytes. A symbol is a list of rows; True is dark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from engine import BadRequest

SIZES: Final = ((10, 1, 16), (16, 1, 28), (26, 1, 44), (18, 2, 32), (24, 2, 43), (16, 4, 27))
"""For versions 1 to 6 at level M: correcting bytes of a block, blocks, bytes of text of a block."""
MASKS: Final[tuple[Callable[[int, int], bool], ...]] = (
    lambda y, x: (y + x) % 2 == 0,
    lambda y, _: y % 2 == 0,
    lambda _, x: x % 3 == 0,
    lambda y, x: (y + x) % 3 == 0,
    lambda y, x: (y // 2 + x // 3) % 2 == 0,
    lambda y, x: y * x % 2 + y * x % 3 == 0,
    lambda y, x: (y * x % 2 + y * x % 3) % 2 == 0,
    lambda y, x: ((y + x) % 2 + y * x % 3) % 2 == 0,
)

_FIELD: Final = 0x11D
_FORMAT: Final = 0x537
_FORMAT_MASK: Final = 0x5412
_FINDER_LIKE: Final = ("10111010000", "00001011101")

Symbol = list[list[bool]]


def qr_symbol(text: str) -> Symbol:
    """Return the symbol of a text, without its margin; raise `BadRequest` for one too long."""
    data = text.encode()
    version = next((i + 1 for i, size in enumerate(SIZES) if len(data) <= _capacity(size)), None)
    if version is None:
        raise BadRequest(f"{len(data)} bytes do not fit into a small QR code.")
    side = 17 + 4 * version
    fixed = _fixed(version, side)
    bits = _bits(_codewords(data, SIZES[version - 1]))
    places = list(_path(side, fixed))
    drawn = (_drawn(fixed, side, places, bits, number) for number in range(len(MASKS)))
    return min(drawn, key=_penalty)


def _capacity(size: tuple[int, int, int]) -> int:
    """Return how many bytes fit: four bits say what they are, eight how many."""
    return size[1] * size[2] - 2


def _codewords(data: bytes, size: tuple[int, int, int]) -> bytes:
    """Return text and correction, block by block interleaved."""
    correcting, blocks, length = size
    head = (4 << 8 | len(data)) << 8 * len(data) | int.from_bytes(data)
    text = (head << 4).to_bytes(len(data) + 2)
    text += bytes((0xEC, 0x11) * length * blocks)[: blocks * length - len(text)]
    parts = [text[i * length : (i + 1) * length] for i in range(blocks)]
    checks = [_correction(part, correcting) for part in parts]
    woven = [*zip(*parts, strict=True), *zip(*checks, strict=True)]
    return bytes(byte for column in woven for byte in column)


def _times(a: int, b: int) -> int:
    """Multiply in GF(256)."""
    product = 0
    for bit in range(7, -1, -1):
        product = product << 1 ^ (product >> 7) * _FIELD
        product ^= (b >> bit & 1) * a
    return product


def _correction(data: bytes, count: int) -> bytes:
    """Return the remainder of a Reed-Solomon code with `count` bytes of correction."""
    generator, root = [1], 1
    for _ in range(count):
        shifted = [*generator, 0]
        scaled = [0, *(_times(root, factor) for factor in generator)]
        generator = [a ^ b for a, b in zip(shifted, scaled, strict=True)]
        root = _times(root, 2)
    remainder = [0] * count
    for byte in data:
        factor = byte ^ remainder[0]
        tail = [*remainder[1:], 0]
        remainder = [a ^ _times(factor, b) for a, b in zip(tail, generator[1:], strict=True)]
    return bytes(remainder)


def _bits(data: bytes) -> list[bool]:
    return [bool(byte >> bit & 1) for byte in data for bit in range(7, -1, -1)]


def _fixed(version: int, side: int) -> dict[tuple[int, int], bool]:
    """Return the modules that no text changes: patterns, and the places of the format."""
    found = {}
    for i in range(8, side - 8):
        found[6, i] = found[i, 6] = i % 2 == 0
    for y, x in ((3, 3), (3, side - 4), (side - 4, 3)):
        found |= {
            place: max(abs(place[0] - y), abs(place[1] - x)) in {0, 1, 3}
            for place in _square(y, x, 4)
            if min(place) >= 0 and max(place) < side
        }
    if version > 1:
        middle = side - 7
        for place in _square(middle, middle, 2):
            found[place] = max(abs(place[0] - middle), abs(place[1] - middle)) != 1
    for places in _format_places(side):
        found |= dict.fromkeys(places, False)
    found[side - 8, 8] = True
    return found


def _square(y: int, x: int, reach: int) -> Iterator[tuple[int, int]]:
    steps = range(-reach, reach + 1)
    return ((y + dy, x + dx) for dy in steps for dx in steps)


def _format_places(side: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return where the format stands, twice, its highest bit first."""
    around = [0, 1, 2, 3, 4, 5, 7, 8]
    first = [(8, x) for x in around] + [(y, 8) for y in reversed(around[:-1])]
    second = [(side - 1 - i, 8) for i in range(7)] + [(8, side - 8 + i) for i in range(8)]
    return first, second


def _format_bits(mask: int) -> list[bool]:
    """Return level M and the mask's number with their own correction, 15 bits."""
    rest = mask << 10
    for bit in range(4, -1, -1):
        rest ^= (rest >> bit + 10 & 1) * (_FORMAT << bit)
    word = (mask << 10 | rest) ^ _FORMAT_MASK
    return [bool(word >> bit & 1) for bit in range(14, -1, -1)]


def _path(side: int, fixed: dict[tuple[int, int], bool]) -> Iterator[tuple[int, int]]:
    """Go through the free modules: in columns of two, from the right, up and down by turns."""
    columns = [x for x in range(side - 1, 0, -2) if x > 6] + [5, 3, 1]
    for turn, x in enumerate(columns):
        rows = range(side) if turn % 2 else range(side - 1, -1, -1)
        for place in ((y, column) for y in rows for column in (x, x - 1)):
            if place not in fixed:
                yield place


def _drawn(
    fixed: dict[tuple[int, int], bool],
    side: int,
    places: Sequence[tuple[int, int]],
    bits: Sequence[bool],
    number: int,
) -> Symbol:
    """Return the symbol under one mask."""
    dark, mask = dict(fixed), MASKS[number]
    # Modules left over at the end are light before the mask.
    rest = [False] * (len(places) - len(bits))
    for place, bit in zip(places, [*bits, *rest], strict=True):
        dark[place] = bit != mask(*place)
    for copy in _format_places(side):
        dark |= dict(zip(copy, _format_bits(number), strict=True))
    return [[dark[y, x] for x in range(side)] for y in range(side)]


def _penalty(symbol: Symbol) -> int:
    """Return how hard a symbol is to read: runs, blocks, false finders, too much of one colour."""
    rows = ["".join("01"[module] for module in row) for row in symbol]
    lines = rows + ["".join(column) for column in zip(*rows, strict=True)]
    runs = sum(_runs(line) for line in lines)
    blocks = sum(
        len({a, b, c, d}) == 1
        for above, below in pairwise(rows)
        for a, b, c, d in zip(above, above[1:], below, below[1:], strict=False)
    )
    finders = sum(line.startswith(_FINDER_LIKE, i) for line in lines for i in range(len(line) - 10))
    share = sum(row.count("1") for row in rows) * 20 / len(rows) ** 2
    return runs + 3 * blocks + 40 * finders + 10 * int(abs(share - 10))


def _runs(line: str) -> int:
    changes = [i for i in range(1, len(line)) if line[i] != line[i - 1]]
    lengths = (b - a for a, b in zip([0, *changes], [*changes, len(line)], strict=True))
    return sum(length - 2 for length in lengths if length >= 5)
