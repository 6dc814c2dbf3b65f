"""Finds the Chromium that the browser tests drive, or installs Debian's."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLACES = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
)
ABSENT = "no Chromium was found; install chromium or set CHROMIUM to the program"

Runner = Callable[[tuple[str, ...]], int]


def find_browser() -> str | None:
    """Return the program to start: that of the variable CHROMIUM, else the first one found."""
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named)
    found = (shutil.which(name) for name in (*NAMES, *PLACES))
    return next((program for program in found if program), None)


def install_browser(run: Runner) -> str | None:
    """Install Debian's chromium if this user may; None where that is not possible.

    run: starts a command and returns its exit code.
    """
    root = _become_root()
    if root is None or shutil.which("apt-get") is None or not Path("/etc/debian_version").exists():
        return None
    if run((*root, "apt-get", "update", "-qq")) == 0:
        packages = ("chromium", "fonts-dejavu-core")
        run((*root, "apt-get", "install", "-qq", "--yes", "--no-install-recommends", *packages))
    return find_browser()


def _become_root() -> tuple[str, ...] | None:
    """Return what to put before a command that needs root; None where it would ask a password."""
    if not hasattr(os, "geteuid"):
        return None
    if os.geteuid() == 0:
        return ()
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    asked = subprocess.run((sudo, "-n", "true"), capture_output=True, check=False)
    return (sudo, "-n") if asked.returncode == 0 else None
