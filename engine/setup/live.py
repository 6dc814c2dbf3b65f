"""What programs of the system say about this moment: free memory, and screens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.setup.machine import answer, smi_program

PATIENCE = 5.0
"""Seconds; nvidia-smi wakes a sleeping card first."""

MIB = 2**20

SMI_STATE = ("--query-gpu=uuid,memory.free,display_active", "--format=csv,noheader,nounits")
STATE_LINE = re.compile(r"GPU-([0-9a-f-]{36})\s*,\s*(\d+|\[.*\])\s*,\s*(Enabled|Disabled|\[.*\])")
VM_PAGE = re.compile(r"page size of (\d+) bytes")
VM_LINE = re.compile(r"^Pages (?:free|inactive|speculative):\s+(\d+)\.?$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardState:
    """What nvidia-smi says of a card; None where it does not tell.

    display: whether memory of the card is taken by a screen.
    """

    free_bytes: int | None
    display: bool | None


def card_states() -> Mapping[str, CardState]:
    """Return the state of every NVIDIA card by its uuid; empty without nvidia-smi.

    Takes some 20 ms, up to `PATIENCE` seconds. Makes no driver context, unlike asking torch.
    """
    program = smi_program()
    return {} if program is None else parse_states(answer(program, *SMI_STATE, seconds=PATIENCE))


def parse_states(text: str) -> dict[str, CardState]:
    """Read the lines `uuid, memory.free, display_active`; other lines are no cards."""
    found = {}
    for line in text.splitlines():
        match = STATE_LINE.fullmatch(line.strip())
        if match is not None:
            uuid, free, screen = match.groups()
            found[uuid] = CardState(
                free_bytes=int(free) * MIB if free.isdigit() else None,
                display=screen == "Enabled" if screen[0] != "[" else None,
            )
    return found


def mac_available() -> int:
    """Return the bytes of a Mac's memory that may be taken now, 0 where it does not tell."""
    return parse_vm_stat(answer("vm_stat", seconds=PATIENCE))


def parse_vm_stat(text: str) -> int:
    """Read what vm_stat writes: pages that are free or hold nothing but copies of files."""
    page = VM_PAGE.search(text)
    return 0 if page is None else int(page[1]) * sum(map(int, VM_LINE.findall(text)))
