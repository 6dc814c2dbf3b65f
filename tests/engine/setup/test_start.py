"""The two start scripts: which Python they accept, and what they say where there is none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FLOOR = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
needs_sh = pytest.mark.skipif(shutil.which("sh") is None, reason="no sh on this system")


def pins(file: str) -> dict[str, str]:
    """Package and version of every line; a line that pins nothing exactly does not count."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)$", "\n".join(lines), re.MULTILINE))


def start(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [shutil.which("sh"), str(ROOT / "start.sh"), *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH on which there is no Python at all."""
    (tmp_path / "dirname").symlink_to(shutil.which("dirname"))
    return str(tmp_path)


@pytest.mark.parametrize("file", ["requirements.txt", "tests/requirements.txt"])
def test_every_requirement_is_pinned_and_is_the_one_installed(file):
    wanted = [line for line in (ROOT / file).read_text("utf-8").splitlines() if line[:1] not in "#"]
    assert len(pins(file)) == len([line for line in wanted if line])
    assert {name: version(name).partition("+")[0] for name in pins(file)} == pins(file)


@pytest.mark.parametrize("file", ["requirements.txt", "tests/requirements.txt"])
def test_every_requirement_runs_on_the_oldest_python_allowed(file):
    oldest = int(FLOOR.removeprefix(">=3."))
    for name in pins(file):
        needed = re.search(r">=\s*3\.(\d+)", metadata(name)["Requires-Python"] or ">=3.0")
        assert int(needed[1]) <= oldest, name


@pytest.mark.parametrize("script", ["start.sh", "start.bat"])
def test_the_scripts_ask_for_the_python_that_the_project_names(script):
    text = (ROOT / script).read_text(encoding="utf-8")
    minor = FLOOR.removeprefix(">=3.")
    assert f"sys.version_info < (3, {minor})" in text
    assert f"No Python 3.{minor} or newer was found." in text


@needs_sh
def test_a_machine_without_python_is_told_where_to_get_it(bare_path):
    done = start("doctor", PATH=bare_path)
    assert done.returncode == 1
    assert done.stderr.startswith("No Python 3.11 or newer was found. Install one (https://")


@needs_sh
def test_a_named_python_that_does_not_fit_is_not_passed_over(bare_path):
    done = start("doctor", PATH=bare_path, PYTHON="python2")
    assert done.returncode == 1
    assert done.stderr == "PYTHON=python2 does not start a Python 3.11 or newer.\n"


@needs_sh
def test_arguments_and_the_folder_of_the_user_reach_the_program(tmp_path):
    """A stand-in house: the real start.sh, an installation that does nothing, an app that tells."""
    house = tmp_path / "a house"
    (house / "engine" / "setup").mkdir(parents=True)
    (house / ".venv" / "bin").mkdir(parents=True)
    (house / "engine" / "setup" / "install.py").write_text("print('set up')")
    (house / "app.py").write_text("import os, sys; print(os.getcwd(), sys.argv[1:])")
    (house / ".venv" / "bin" / "python").symlink_to(shutil.which("python3"))
    shutil.copy(ROOT / "start.sh", house)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        ["sh", str(house / "start.sh"), "generate", "a cat", "-o", "cat.png"],
        cwd=elsewhere,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    said = f"set up\n{elsewhere} ['generate', 'a cat', '-o', 'cat.png']\n"
    assert done.stdout == said
