"""What programs of the system say, read from what they wrote elsewhere."""

from __future__ import annotations

import pytest

from engine.setup import live
from engine.setup.live import CardState, parse_states, parse_vm_stat

MIB = 2**20
ONE = "3f1b0e5c-7f4e-0a5d-9a3c-0123456789ab"
TWO = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"

VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                              100000.
Pages active:                            500000.
Pages inactive:                           30000.
Pages speculative:                         2000.
Pages wired down:                        200000.
Pages stored in compressor:               10000.
"""


def test_each_card_tells_its_free_memory_and_its_screen():
    text = f"GPU-{ONE}, 11234, Enabled\nGPU-{TWO}, 80000, Disabled\n"
    assert parse_states(text) == {
        ONE: CardState(free_bytes=11234 * MIB, display=True),
        TWO: CardState(free_bytes=80000 * MIB, display=False),
    }


def test_a_card_that_does_not_tell_is_unknown():
    text = f"GPU-{ONE}, [N/A], [Not Supported]\n"
    assert parse_states(text) == {ONE: CardState(free_bytes=None, display=None)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
        'Field "display_active" is not a valid field to query.',
        "No devices were found",
        f"GPU-{ONE}, many, Enabled",
        f"GPU-{ONE}, 5, Perhaps",
    ],
)
def test_an_answer_that_is_none_names_no_card(text):
    assert parse_states(text) == {}


def test_without_the_program_no_card_has_a_state(monkeypatch):
    monkeypatch.setattr(live, "smi_program", lambda: None)
    assert live.card_states() == {}


def test_nvidia_smi_is_asked_with_a_limit(monkeypatch):
    asked = []

    def answer(*command, seconds):
        asked.append((command[0], seconds))
        return f"GPU-{ONE}, 1, Disabled"

    monkeypatch.setattr(live, "smi_program", lambda: "/bin/nvidia-smi")
    monkeypatch.setattr(live, "answer", answer)
    assert list(live.card_states()) == [ONE]
    assert asked == [("/bin/nvidia-smi", live.PATIENCE)]


def test_a_mac_counts_pages_that_it_can_give():
    assert parse_vm_stat(VM_STAT) == 132_000 * 16384
    assert parse_vm_stat("") == parse_vm_stat("Pages free: 5.") == 0
