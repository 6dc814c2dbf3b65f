"""Makes the environment in .venv and keeps it right; start.sh and start.bat call it every time.

`python -m engine.setup.install [--tests]`, run from the repository's root by the Python that the
environment is to be made of. When nothing is to be done, it reads two small files and returns.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from engine.setup.browser import ABSENT, find_browser, install_browser
from engine.setup.table import BUILDS, NO_BUILD, OVERRIDE
from engine.setup.wheels import Choice, choose_here

HEARTBEAT_SECONDS = 30.0
QUIET = ("-qq", "--disable-pip-version-check", "--no-input")
RETRY = "Check the network and start again: what has been downloaded is kept."


@dataclass(frozen=True, slots=True)
class House:
    """The folder the program lies in, and how commands are run in it."""

    root: Path

    @property
    def venv(self) -> Path:
        """The environment's folder."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        inside = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
        return self.venv.joinpath(*inside)

    def say(self, sentence: str) -> None:
        """Tell the user what happens."""
        sys.stdout.write(f"{sentence}\n")
        sys.stdout.flush()

    def run(self, command: tuple[str, ...]) -> int:
        """Run a command to its end, with a sign of life now and then; return its exit code."""
        # A pip.ini with `user = true` would make every installation into .venv fail.
        environment = {**os.environ, "PIP_USER": "0"}
        began = time.monotonic()
        with subprocess.Popen(command, cwd=self.root, env=environment) as process:
            while (code := _exit_code(process)) is None:
                self.say(f"  still at it, {time.monotonic() - began:.0f} s")
        return code

    def pip(self, *arguments: str) -> int:
        """Run the environment's pip; return its exit code."""
        return self.run((str(self.python), "-m", "pip", *arguments))


def prepare(house: House, choice: Choice, *, tests: bool = False) -> None:
    """Bring the environment to what the requirements and the choice ask for.

    Ends the program with a sentence where that fails. The stamp that says `ready` is written last,
    so an installation that was broken off is taken up again by the next start.
    """
    wanted = _digest(choice.label, house.root / "requirements.txt")
    ready = house.venv / "atelier-ready"
    if not (_reads(ready, wanted) and _starts(house)):
        _install(house, choice, ready, wanted)
    if tests:
        _prepare_tests(house, wanted)


def main(arguments: list[str]) -> int:
    """Prepare the environment in the current folder; 130 when the user broke it off."""
    try:
        prepare(House(Path.cwd()), choose_here(), tests="--tests" in arguments)
    except KeyboardInterrupt:
        sys.stderr.write("\nBroken off; the next start goes on from here.\n")
        return 130
    return 0


def _install(house: House, choice: Choice, ready: Path, wanted: str) -> None:
    if choice.label == NO_BUILD:
        raise SystemExit(f"This machine cannot run the program: {choice.reason}. {choice.advice}")
    house.say(f"Setting up in {house.venv}: {choice.reason}.")
    if choice.advice:
        house.say(choice.advice)
    _check_room(house, choice)
    taken_up = _starts(house)
    if not taken_up:
        _make_venv(house)
    ready.unlink(missing_ok=True)
    proof = _fill(house, choice)
    if proof != 0 and taken_up:
        house.say("The environment that was there cannot be repaired.")
        _make_venv(house)
        proof = _fill(house, choice)
    way_out = "" if choice.label == "cpu" else f"To do without the graphics card: {OVERRIDE}=cpu."
    _must(proof, "The installed program did not pass its own examination.", advice=way_out)
    ready.write_text(wanted, encoding="utf-8")
    house.say("Ready.")


def _fill(house: House, choice: Choice) -> int:
    """Install everything and return the exit code of the proof."""
    _install_torch(house, choice)
    house.say("Installing the other packages, about 150 MB ...")
    _must(house.pip("install", *QUIET, "-r", "requirements.txt"), "The packages did not install.")
    house.run((str(house.python), "-m", "compileall", "-q", "app.py", "engine", "ui"))
    house.say("Proving the installation ...")
    return house.run((str(house.python), "app.py", "doctor"))


def _install_torch(house: House, choice: Choice) -> None:
    """Install the build; pip alone would take another build of the same version for the right one.

    The label is noted before the installation, so that a build of which only a part arrived is
    still known to be there.
    """
    build, noted = BUILDS[choice.label], house.venv / "atelier-torch"
    if noted.exists() and not _reads(noted, choice.label):
        house.say(f"Removing the PyTorch that was installed before, to make way for {build.title}.")
        _must(house.pip("uninstall", *QUIET, "--yes", "torch"), "It could not be removed.")
    noted.write_text(choice.label, encoding="utf-8")
    house.say(f"Installing {build.title}, {build.download} ...")
    _must(house.pip("install", *QUIET, *choice.pip_arguments), "PyTorch did not install.")


def _prepare_tests(house: House, wanted: str) -> None:
    ready = house.venv / "atelier-tests-ready"
    stamp = _digest(wanted, house.root / "tests" / "requirements.txt")
    if not _reads(ready, stamp):
        house.say("Installing what the tests need, about 80 MB ...")
        failed = house.pip("install", *QUIET, "-r", str(Path("tests", "requirements.txt")))
        _must(failed, "The test packages did not install.")
        ready.write_text(stamp, encoding="utf-8")
    if find_browser() is None:
        house.say("Looking for a browser for the browser tests ...")
        if install_browser(house.run) is None:
            house.say(f"The browser tests will be skipped: {ABSENT}.")


def _make_venv(house: House) -> None:
    if (house.venv / "pyvenv.cfg").exists():
        house.say(f"Deleting the environment in {house.venv} and making it anew.")
    elif house.venv.exists() and any(house.venv.iterdir()):
        raise SystemExit(f"{house.venv} holds something else. Move it away and start again.")
    made = house.run((sys.executable, "-m", "venv", "--clear", str(house.venv)))
    _must(
        made,
        f"{sys.executable} could not make an environment.",
        advice="On Debian and Ubuntu: sudo apt install python3-venv; then start again.",
    )


def _check_room(house: House, choice: Choice) -> None:
    """Refuse before the download what would fail after it; an environment there counts as room."""
    needed = BUILDS[choice.label].disk_gb
    free = shutil.disk_usage(house.root).free / 1e9
    if free < needed and not house.python.exists():
        raise SystemExit(
            f"The drive of {house.root} has {free:.1f} GB free and the program needs {needed} GB. "
            "Make room, or move this folder to another drive, and start again."
        )


def _starts(house: House) -> bool:
    """Tell whether the environment's Python still runs; it does not once its own Python is gone."""
    if not house.python.exists():
        return False
    return subprocess.run((str(house.python), "-c", ""), check=False).returncode == 0


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """Return the exit code; None when the program still runs after a heartbeat."""
    try:
        return process.wait(timeout=HEARTBEAT_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _must(code: int, failure: str, *, advice: str = RETRY) -> None:
    if code != 0:
        raise SystemExit(f"{failure} {advice}".rstrip())


def _digest(label: str, requirements: Path) -> str:
    return hashlib.sha256(label.encode() + b"\n" + requirements.read_bytes()).hexdigest()


def _reads(file: Path, text: str) -> bool:
    return file.exists() and file.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
