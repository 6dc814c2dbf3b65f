"""The builds of PyTorch 2.13.0 and the rules that say which machine gets which: data alone.

The release has builds for CUDA 12.6, 13.0 and 13.2 (13.2 as a trial) and none for CUDA 12.8.
Driver floors (525 for CUDA 12, 580 for CUDA 13) are NVIDIA's for minor version compatibility;
compute capabilities and gfx names are those that the release holds kernels for.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.setup.machine import Vendor

TORCH = "torch==2.13.0"
SITE = "https://download.pytorch.org/whl/"
NO_BUILD = "none"
OVERRIDE = "ATELIER_TORCH"


@dataclass(frozen=True, slots=True)
class Build:
    """One build; folder: where on the wheel site, empty for pip's own index.

    download: a phrase for the user. disk_gb: the room the finished environment takes, in GB.
    """

    title: str
    folder: str
    download: str
    disk_gb: int


BUILDS = {
    "cu130": Build("PyTorch for CUDA 13.0", "cu130", "about 2.5 GB", 8),
    "cu126": Build("PyTorch for CUDA 12.6", "cu126", "about 2.5 GB", 8),
    "rocm": Build("PyTorch for ROCm 7.2", "rocm7.2", "about 5 GB", 18),
    "mps": Build("PyTorch for Apple silicon", "", "about 100 MB", 2),
    "cpu": Build("PyTorch for CPU", "", "about 200 MB, on some Linux systems 2.5 GB", 3),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of the table; a field left at its default asks nothing.

    vendor: None asks for no card at all. capability: lowest and highest NVIDIA compute capability,
    both included. driver: lowest major version, and the first one too high. gfx: AMD instruction
    sets, by prefix. device: the first hexadecimal digits of a PCI device id.
    """

    label: str
    reason: str
    advice: str = ""
    vendor: Vendor | None = None
    systems: tuple[str, ...] = ("Linux", "Windows")
    architectures: tuple[str, ...] = ("x86_64",)
    capability: tuple[tuple[int, int], tuple[int, int]] | None = None
    driver: tuple[int, int] | None = None
    gfx: tuple[str, ...] = ()
    device: tuple[str, ...] = ()


BOTH = ("x86_64", "arm64")
ANY = ((0, 0), (99, 9))
BEFORE_TURING = ((5, 0), (7, 4))
FROM_TURING = ((7, 5), (99, 9))
TURING_TO_HOPPER = ((7, 5), (9, 9))
FROM_AMPERE = ((8, 0), (99, 9))
AMPERE_TO_HOPPER = ((8, 0), (9, 9))
FROM_BLACKWELL = ((10, 0), (99, 9))
FROM_525 = (525, 10_000)
FROM_580 = (580, 10_000)
ONLY_CUDA_12 = (525, 580)
BEFORE_525 = (0, 525)
BEFORE_580 = (0, 580)

NVIDIA_PAGE = "https://www.nvidia.com/drivers"
FITS_CUDA_13 = "the CUDA 13.0 build is the newest one that this card and this driver run"
FITS_CUDA_12 = "the driver is older than 580, which CUDA 13 needs, and new enough for CUDA 12.6"
DRIVER_TOO_OLD = "the driver is older than 525, the oldest that any build still runs on"
NEWER_DRIVER = f"Driver 580 or newer ({NVIDIA_PAGE}) would allow the newer CUDA 13.0 build."
UPDATE_DRIVER = (
    f"Install driver 580 or newer ({NVIDIA_PAGE}) and start again; "
    "the CPU does the work until then."
)
LAST_DRIVER = (
    f"Install driver 580, the last one made for this card ({NVIDIA_PAGE}), and start again; "
    "the CPU does the work until then."
)

# The first rule that fits a card decides for that card.
RULES: tuple[Rule, ...] = (
    Rule(
        label="cu130",
        vendor="nvidia",
        capability=FROM_TURING,
        driver=FROM_580,
        reason=FITS_CUDA_13,
    ),
    Rule(
        label="cu126",
        vendor="nvidia",
        capability=TURING_TO_HOPPER,
        driver=ONLY_CUDA_12,
        reason=FITS_CUDA_12,
        advice=NEWER_DRIVER,
    ),
    Rule(
        label="cu126",
        vendor="nvidia",
        capability=BEFORE_TURING,
        driver=FROM_525,
        reason="CUDA 13 no longer knows this card; the CUDA 12.6 build does",
    ),
    Rule(
        label="cu130",
        vendor="nvidia",
        systems=("Linux",),
        architectures=("arm64",),
        capability=FROM_AMPERE,
        driver=FROM_580,
        reason=FITS_CUDA_13,
    ),
    Rule(
        label="cu126",
        vendor="nvidia",
        systems=("Linux",),
        architectures=("arm64",),
        capability=AMPERE_TO_HOPPER,
        driver=ONLY_CUDA_12,
        reason=FITS_CUDA_12,
        advice=NEWER_DRIVER,
    ),
    Rule(
        label="cpu",
        vendor="nvidia",
        architectures=BOTH,
        capability=FROM_BLACKWELL,
        driver=BEFORE_580,
        reason="this card needs the CUDA 13.0 build, and its driver is older than 580",
        advice=UPDATE_DRIVER,
    ),
    Rule(
        label="cpu",
        vendor="nvidia",
        architectures=BOTH,
        capability=TURING_TO_HOPPER,
        driver=BEFORE_525,
        reason=DRIVER_TOO_OLD,
        advice=UPDATE_DRIVER,
    ),
    Rule(
        label="cpu",
        vendor="nvidia",
        architectures=BOTH,
        capability=BEFORE_TURING,
        driver=BEFORE_525,
        reason=DRIVER_TOO_OLD,
        advice=LAST_DRIVER,
    ),
    Rule(
        label="cpu",
        vendor="nvidia",
        architectures=BOTH,
        capability=ANY,
        reason="no build of this PyTorch release holds kernels for this card",
    ),
    Rule(
        label="cpu",
        vendor="nvidia",
        architectures=BOTH,
        reason="its driver does not answer, or is too old to tell what card it is",
        advice=UPDATE_DRIVER,
    ),
    Rule(
        label="rocm",
        vendor="amd",
        systems=("Linux",),
        gfx=("gfx90", "gfx942", "gfx950", "gfx1030", "gfx110", "gfx1150", "gfx1151", "gfx120"),
        reason="the ROCm 7.2 build holds kernels for this card",
    ),
    Rule(
        label="cpu",
        vendor="amd",
        systems=("Linux",),
        gfx=("gfx103",),
        reason="the ROCm build holds no kernels for this card, only for its relative gfx1030",
        advice="To try it as gfx1030, which AMD does not support: "
        f"{OVERRIDE}=rocm HSA_OVERRIDE_GFX_VERSION=10.3.0 ./start.sh",
    ),
    Rule(
        label="cpu",
        vendor="amd",
        systems=("Linux",),
        gfx=("gfx",),
        reason="the ROCm build holds no kernels for this card",
    ),
    Rule(
        label="cpu",
        vendor="amd",
        systems=("Linux",),
        reason="the kernel offers no compute interface for it (/dev/kfd is missing)",
        advice="Load the amdgpu kernel driver and start again.",
    ),
    Rule(
        label="cpu",
        vendor="amd",
        systems=("Windows",),
        reason="the PyTorch project offers no build for AMD cards on Windows",
        advice="AMD offers its own (https://rocm.docs.amd.com): put its torch 2.13.0 into .venv "
        "with pip, and it is kept from then on.",
    ),
    Rule(
        label="cpu",
        vendor="intel",
        device=("56", "E2", "7D", "64", "B0", "0BD"),
        reason="this program cannot compute on Intel graphics",
        advice="The CPU does the work; an NVIDIA or AMD card would be faster.",
    ),
    Rule(
        label="mps",
        systems=("Darwin",),
        architectures=("arm64",),
        reason="the standard build uses the graphics cores of Apple silicon",
    ),
    Rule(
        label=NO_BUILD,
        systems=("Darwin",),
        architectures=("rosetta",),
        reason="this Python was made for Intel Macs, and PyTorch has no such build any more",
        advice="Install the Apple silicon Python from https://www.python.org and start again.",
    ),
    Rule(
        label=NO_BUILD,
        systems=("Darwin",),
        architectures=("x86_64",),
        reason="PyTorch ended its builds for Intel Macs with version 2.2",
        advice="Use a Mac with Apple silicon, or Linux or Windows.",
    ),
    Rule(
        label=NO_BUILD,
        systems=("Linux", "Windows", "Darwin"),
        architectures=("32-bit",),
        reason="this Python is a 32-bit one, and PyTorch has no such build",
        advice="Install a 64-bit Python from https://www.python.org and start again.",
    ),
    Rule(
        label="cpu",
        architectures=BOTH,
        reason="no graphics card was found that PyTorch can use",
    ),
)
