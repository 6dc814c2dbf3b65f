"""What this machine is, in numbers the hardware reports; names of cards are never read."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Vendor = Literal["nvidia", "amd", "intel"]
PciId = tuple[int, int]

PCI_VENDORS: tuple[tuple[int, Vendor], ...] = (
    (0x10DE, "nvidia"),
    (0x1002, "amd"),
    (0x8086, "intel"),
)
ARCHITECTURES = (("amd64", "x86_64"), ("x64", "x86_64"), ("aarch64", "arm64"))
# Display controllers (03) and processing accelerators (12): the PCI classes a graphics card has.
PCI_CLASSES = ("0x03", "0x12")
PCI_FOLDER = Path("/sys/bus/pci/devices")
KFD_FOLDER = Path("/sys/class/kfd/kfd/topology/nodes")

SMI_PLACES = (
    "/usr/lib/wsl/lib/nvidia-smi",
    "C:/Windows/System32/nvidia-smi.exe",
    "C:/Program Files/NVIDIA Corporation/NVSMI/nvidia-smi.exe",
)
SMI_QUERY = ("--query-gpu=compute_cap,driver_version,memory.total", "--format=csv,noheader")
SMI_LINE = re.compile(r"(\d+)\.(\d+)\s*,\s*(\d+(?:\.\d+)*)\s*,\s*(?:(\d+)\s*MiB)?")
KFD_LINE = re.compile(r"^gfx_target_version (\d+)$", re.MULTILINE)
PNP_LINE = re.compile(r"PCI\\VEN_([0-9A-F]{4})&DEV_([0-9A-F]{4})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One graphics card; a number is None (memory: 0) where the card did not tell it.

    compute_capability: NVIDIA, (major, minor). driver: NVIDIA, dotted number. memory_mib: MiB.
    gfx: AMD's name of the instruction set, such as gfx1100. device_id: PCI, 16 bits.
    """

    vendor: Vendor
    compute_capability: tuple[int, int] | None = None
    driver: tuple[int, ...] | None = None
    memory_mib: int = 0
    gfx: str | None = None
    device_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine as PyTorch's builds tell machines apart.

    system: Linux, Windows or Darwin. architecture: that of this Python: x86_64, arm64, `rosetta`
    (an Intel Python on Apple silicon), `32-bit`, or the machine's own name for anything else.
    """

    system: str
    architecture: str
    python: tuple[int, int]
    gpus: tuple[Gpu, ...] = ()


def probe() -> Machine:
    """Ask this machine what it is; takes some 10 ms, up to 2 s where an answer is slow."""
    system = platform.system()
    smi = _nvidia_smi()
    gpus = gpus_from(smi, (), ())
    if not any(gpu.compute_capability for gpu in gpus):
        gpus = gpus_from(smi, _pci_devices(system), _gfx_names())
    return Machine(
        system=system,
        architecture=_architecture(system),
        python=(sys.version_info.major, sys.version_info.minor),
        gpus=gpus,
    )


def gpus_from(smi: str | None, pci: Iterable[PciId], gfx: Iterable[str]) -> tuple[Gpu, ...]:
    """Put the raw answers together into a list of cards.

    smi: what nvidia-smi wrote, None where there is no such program. pci: (vendor, device) of every
    display controller. gfx: AMD's names. A card seen on the bus alone is listed without numbers,
    so that a missing driver can be told from a missing card.
    """
    pci = tuple(pci)
    nvidia = parse_nvidia_smi(smi or "")
    amd = tuple(Gpu(vendor="amd", gfx=name) for name in gfx if name != "gfx000")
    mute = tuple(
        Gpu(vendor=vendor, device_id=device)
        for number, vendor in PCI_VENDORS
        for found, device in pci
        if found == number
    )
    if smi is not None and not nvidia and "no devices" not in smi.lower():
        nvidia = (Gpu(vendor="nvidia"),)
    told = {gpu.vendor for gpu in nvidia + amd}
    return nvidia + amd + tuple(gpu for gpu in mute if gpu.vendor not in told)


def parse_nvidia_smi(text: str) -> tuple[Gpu, ...]:
    """Read the lines `compute_cap, driver_version, memory.total`; other lines are no cards."""
    cards = []
    for line in text.splitlines():
        match = SMI_LINE.match(line.strip())
        if match is None:
            continue
        major, minor, driver, memory = match.groups()
        cards.append(
            Gpu(
                vendor="nvidia",
                compute_capability=(int(major), int(minor)),
                driver=tuple(int(part) for part in driver.split(".")),
                memory_mib=int(memory or 0),
            )
        )
    return tuple(cards)


def parse_pnp_ids(text: str) -> tuple[PciId, ...]:
    """Read Windows device ids; virtual monitors have no PCI vendor and are left out."""
    return tuple((int(vendor, 16), int(device, 16)) for vendor, device in PNP_LINE.findall(text))


def gfx_name(version: int) -> str:
    """Spell the kernel's gfx_target_version as AMD does: 110000 is gfx1100, 90010 is gfx90a."""
    major, rest = divmod(version, 10_000)
    return f"gfx{major}{rest // 100:x}{rest % 100:x}"


def smi_program() -> str | None:
    """Return where nvidia-smi lies, None where there is no such program."""
    return shutil.which("nvidia-smi") or next(
        (place for place in SMI_PLACES if Path(place).is_file()), None
    )


def answer(*command: str, seconds: float = 20.0) -> str:
    """Return what a program says, with its complaints; empty where it cannot be asked at all.

    It is stopped after so many seconds.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _nvidia_smi() -> str | None:
    program = smi_program()
    return None if program is None else answer(program, *SMI_QUERY)


def _pci_devices(system: str) -> tuple[PciId, ...]:
    if system == "Windows":
        query = "Get-CimInstance Win32_VideoController | ForEach-Object PNPDeviceID"
        return parse_pnp_ids(
            answer("powershell", "-NoProfile", "-NonInteractive", "-Command", query)
        )
    return tuple(
        (int(_text(folder / "vendor"), 16), int(_text(folder / "device"), 16))
        for folder in sorted(PCI_FOLDER.glob("*"))
        if _text(folder / "class").startswith(PCI_CLASSES)
    )


def _gfx_names() -> tuple[str, ...]:
    files = sorted(KFD_FOLDER.glob("*/properties"))
    found = (KFD_LINE.search(_text(file)) for file in files)
    return tuple(gfx_name(int(match[1])) for match in found if match and int(match[1]))


def _text(file: Path) -> str:
    """Read a file of /sys; empty where a container hides the card that it belongs to."""
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return ""


def _architecture(system: str) -> str:
    if sys.maxsize < 2**32:
        return "32-bit"
    name = platform.machine().lower()
    if system == "Darwin" and answer("sysctl", "-n", "sysctl.proc_translated").strip() == "1":
        return "rosetta"
    return dict(ARCHITECTURES).get(name, name)
