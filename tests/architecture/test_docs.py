"""Commands in the README exist: each program, each command and each option in them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache

import pytest

from tests.architecture.sources import ROOT

FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
APP = ("python app.py", "python3 app.py", "./start.sh", "start.bat")
COMMANDS = ("generate", "edit", "inpaint", "models", "convert", "bench", "doctor")


def commands(text: str) -> list[str]:
    """Lines of fenced blocks that start the program, continued lines joined."""
    joined = (block.replace("\\\n", " ") for block in FENCE.findall(text))
    lines = (line.strip().removeprefix("$ ") for block in joined for line in block.splitlines())
    return [line for line in lines if line.startswith(APP)]


def unknown_options(line: str) -> list[str]:
    """Options of a command line that its own help does not name."""
    words = shlex.split(line, comments=True)
    words = words[2:] if words[0].startswith("python") else words[1:]
    if words[:1] == ["test"]:
        return []
    command = words[0] if words and words[0] in COMMANDS else ""
    options = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", help_of(command)))
    return [option for option in options if option not in known]


@cache
def help_of(command: str) -> str:
    """What the program says about a command; `` is the page."""
    words = [sys.executable, "app.py", *([command] if command else []), "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme() -> list[str]:
    return commands((ROOT / "README.md").read_text(encoding="utf-8"))


def test_the_readme_shows_how_to_start():
    shown = readme()
    assert any(line.startswith("./start.sh") for line in shown)
    assert any("app.py generate" in line for line in shown)


def test_every_command_of_the_readme_exists():
    assert {line: bad for line in readme() if (bad := unknown_options(line))} == {}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    assert command in help_of(command)


def test_an_option_that_does_not_exist_is_found():
    text = "```sh\n$ python app.py generate 'a cat' \\\n    --no-such-option 3 -o cat.png\n```\n"
    (line,) = commands(text)
    assert unknown_options(line) == ["--no-such-option"]


def test_text_outside_a_fence_is_no_command():
    assert commands("run `python app.py` now\npython app.py --nonsense\n") == []
