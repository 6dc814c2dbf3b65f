"""What the probe makes of the answers that programs, buses and kernels give."""

from __future__ import annotations

import platform
import subprocess

import pytest

from engine.setup import machine
from engine.setup.machine import Gpu, gfx_name, gpus_from, parse_nvidia_smi, parse_pnp_ids


def test_every_card_that_nvidia_smi_lists_is_read():
    assert parse_nvidia_smi("8.9, 581.29, 6141 MiB\n12.0, 581.29.01, 32607 MiB\n") == (
        Gpu(vendor="nvidia", compute_capability=(8, 9), driver=(581, 29), memory_mib=6141),
        Gpu(vendor="nvidia", compute_capability=(12, 0), driver=(581, 29, 1), memory_mib=32607),
    )


def test_memory_that_is_not_told_counts_as_none():
    (card,) = parse_nvidia_smi("12.1, 580.95.05, [N/A]")
    assert card.memory_mib == 0


@pytest.mark.parametrize("text", ["", "garbage", "8.9", "8.9, x, 1 MiB", "\x00", ", ,", "[N/A], 1"])
def test_a_broken_answer_lists_no_card(text):
    assert parse_nvidia_smi(text) == ()


def test_windows_devices_without_a_pci_vendor_are_left_out():
    text = "ROOT\\DISPLAY\\0000\r\nPCI\\VEN_10DE&DEV_2684&SUBSYS_40BF1458&REV_A1\\4&1\r\n"
    assert parse_pnp_ids(text) == ((0x10DE, 0x2684),)


@pytest.mark.parametrize(
    ("version", "name"),
    [(110000, "gfx1100"), (100300, "gfx1030"), (90010, "gfx90a"), (90402, "gfx942")],
)
def test_the_kernels_number_is_spelt_as_amd_does(version, name):
    assert gfx_name(version) == name


def test_a_card_on_the_bus_alone_is_listed_without_numbers():
    assert gpus_from(None, [(0x10DE, 0x2684)], []) == (Gpu(vendor="nvidia", device_id=0x2684),)


def test_a_card_that_told_its_numbers_is_not_listed_twice():
    cards = gpus_from("8.9, 581.29, 6141 MiB", [(0x10DE, 0x28E0), (0x8086, 0xA788)], ["gfx1036"])
    assert [card.vendor for card in cards] == ["nvidia", "amd", "intel"]


def test_a_program_that_hangs_or_is_missing_answers_nothing(monkeypatch):
    def hang(command, **options):
        raise subprocess.TimeoutExpired(command, 20)

    assert machine.answer("no-such-program-anywhere") == ""
    monkeypatch.setattr(subprocess, "run", hang)
    assert machine.answer("nvidia-smi") == ""


def test_windows_is_asked_for_its_devices_when_nvidia_is_silent(monkeypatch):
    asked = []

    def answer(*command):
        asked.append(command[0])
        return "ROOT\\DISPLAY\\0000\nPCI\\VEN_8086&DEV_56A0&SUBSYS_1\n"

    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    monkeypatch.setattr(machine, "_nvidia_smi", lambda: None)
    monkeypatch.setattr(machine, "answer", answer)
    found = machine.probe()
    assert asked == ["powershell"]
    assert (found.system, found.architecture) == ("Windows", "x86_64")
    assert found.gpus == (Gpu(vendor="intel", device_id=0x56A0),)


def test_linux_is_asked_for_its_bus_and_its_kernel(monkeypatch, tmp_path):
    for number, (kind, vendor, device) in enumerate(
        [("0x060000", "0x8086", "0x1237"), ("0x030000", "0x1002", "0x744c")]
    ):
        write(tmp_path / "pci" / str(number), {"class": kind, "vendor": vendor, "device": device})
    write(tmp_path / "kfd" / "0", {"properties": "cpu_cores_count 16\ngfx_target_version 0\n"})
    write(tmp_path / "kfd" / "1", {"properties": "simd_count 96\ngfx_target_version 110000\n"})
    (tmp_path / "kfd" / "2" / "properties").mkdir(parents=True)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(machine, "_nvidia_smi", lambda: None)
    monkeypatch.setattr(machine, "PCI_FOLDER", tmp_path / "pci")
    assert machine.probe().gpus == (Gpu(vendor="amd", device_id=0x744C),)
    monkeypatch.setattr(machine, "KFD_FOLDER", tmp_path / "kfd")
    assert machine.probe().gpus == (Gpu(vendor="amd", gfx="gfx1100"),)


def write(folder, files):
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_an_intel_python_on_apple_silicon_is_recognised(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(machine, "answer", lambda *command: "1\n")
    assert machine.probe().architecture == "rosetta"


def test_the_probe_of_this_machine_answers():
    found = machine.probe()
    assert found.system == platform.system()
    assert found.python >= (3, 11)
