"""What the documents say is so: commands run, examples work, files and links are there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from engine.variants import by_name
from tests.architecture.sources import ROOT

FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)\)")
FILE = re.compile(r"(?<![\w./-])(?:engine|ui|tests|docs)/[\w./-]*\w")
DOCUMENTS = ("README.md", "docs", "engine/demo/README.md")
APP = ("python app.py", "python3 app.py", "./start.sh", "start.bat")
COMMANDS = ("generate", "edit", "inpaint", "batch", "models", "convert", "bench", "doctor")
CHEAP = tuple(f"python app.py {words}" for words in ("generate", "models list", "models info"))
NEEDED = by_name("demo-turbo").folder, by_name("demo-base").folder

needs_demo = pytest.mark.skipif(
    not all(folder and folder.is_dir() for folder in NEEDED),
    reason="the Demo models are not in this tree",
)


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
    # An action of a command has a help of its own.
    depth = 2 if words[:1] == ["models"] else 1
    command = tuple(words[:depth]) if words and words[0] in COMMANDS else ()
    options = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", help_of(command)))
    return [option for option in options if option not in known]


@cache
def help_of(command: tuple[str, ...]) -> str:
    """What the program says about a command; that without words is the page."""
    words = [sys.executable, "app.py", *command, "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme_text() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def readme() -> list[str]:
    return commands(readme_text())


def cheap_commands() -> list[str]:
    """The README's commands that take seconds and need no file of the user's."""
    return [line for line in readme() if line.startswith(CHEAP) and "/path/" not in line]


def documents() -> list[Path]:
    places = [ROOT / place for place in DOCUMENTS]
    return [
        file for place in places for file in ([place] if place.is_file() else place.rglob("*.md"))
    ]


def missing_files(document: Path, text: str) -> list[str]:
    """Files that a document links to, seen from itself, or names, seen from the root."""
    links = [link for link in LINK.findall(text) if "://" not in link]
    absent = {link for link in links if not (document.parent / link).exists()}
    return sorted(absent | {name for name in FILE.findall(text) if not (ROOT / name).exists()})


def code_map() -> list[str]:
    """Lines of the README's map of the code."""
    return FENCE.findall(readme_text().split("## Map of the code")[1])[0].splitlines()


def run(words: list[str], folder: Path) -> str:
    """Run a program in a folder as a reader would in the repository; return what it says."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_shows_how_to_start():
    shown = readme()
    assert any(line.startswith("./start.sh") for line in shown)
    assert any("app.py generate" in line for line in shown)


def test_every_command_of_the_readme_exists():
    assert {line: bad for line in readme() if (bad := unknown_options(line))} == {}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    assert command in help_of((command,))


def test_an_option_that_does_not_exist_is_found():
    text = "```sh\n$ python app.py generate 'a cat' \\\n    --no-such-option 3 -o cat.png\n```\n"
    (line,) = commands(text)
    assert unknown_options(line) == ["--no-such-option"]


@needs_demo
@pytest.mark.parametrize("line", cheap_commands())
def test_a_cheap_command_of_the_readme_runs(line, tmp_path):
    words = shlex.split(line, comments=True)[2:]
    said = run([str(ROOT / "app.py"), *words], tmp_path)
    assert said.strip()
    if "-o" in words:
        count = int(words[words.index("--count") + 1]) if "--count" in words else 1
        assert len(list(tmp_path.glob("*.png"))) == count


@needs_demo
def test_the_python_example_of_the_readme_runs(tmp_path):
    (example,) = PYTHON.findall(readme_text())
    said = run(["-c", example], tmp_path)
    assert [(tmp_path / line).suffix for line in said.split()] == [".png"]
    assert all((tmp_path / line).is_file() for line in said.split())


def test_the_readme_shows_cheap_commands():
    assert len(cheap_commands()) >= 3


def test_the_readme_leads_to_the_loop_in_twelve_lines():
    lines = code_map()
    assert len(lines) == 12
    assert any(line.startswith("engine/denoise.py ") for line in lines)
    assert [line for line in lines if not (ROOT / line.split()[0]).exists()] == []


def test_the_readme_is_short():
    assert len(readme_text().splitlines()) <= 200


def test_documents_name_and_link_only_what_is_there():
    found = {file: missing_files(file, file.read_text(encoding="utf-8")) for file in documents()}
    assert {str(file.relative_to(ROOT)): bad for file, bad in found.items() if bad} == {}


def test_the_documents_are_seen():
    assert len(documents()) >= 10


def test_a_file_that_is_not_there_is_found():
    text = "see [this](none.md), `engine/denoise.py` and `engine/none.py`; https://a.b/engine/x"
    assert missing_files(ROOT / "README.md", text) == ["engine/none.py", "none.md"]


def test_text_outside_a_fence_is_no_command():
    assert commands("run `python app.py` now\npython app.py --nonsense\n") == []
