"""The installation: its order, its memory, its repair. No package is fetched here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.setup import browser, install
from engine.setup.install import House, prepare
from engine.setup.wheels import Choice

ROOT = Path(__file__).parents[3]
CPU = Choice(label="cpu", pip_arguments=("torch==2.13.0",), reason="no graphics card was found")
CUDA = Choice(
    label="cu130",
    pip_arguments=("torch==2.13.0", "--index-url", "https://download.pytorch.org/whl/cu130"),
    reason="NVIDIA graphics card",
)


@dataclass(frozen=True, slots=True)
class Rehearsal(House):
    """A house whose commands are written down and not run; `fails` names commands that fail."""

    commands: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    fails: list[str] = field(default_factory=list)

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def run(self, command: tuple[str, ...]) -> int:
        line = " ".join(command).replace(str(self.root), "").replace("\\", "/")
        self.commands.append(line)
        if " -m venv " in line:
            self._pretend_venv()
        for fault in self.fails:
            if fault in line:
                self.fails.remove(fault)
                return 1
        return 0

    def did(self, words: str) -> bool:
        return any(words in line for line in self.commands)

    def _pretend_venv(self) -> None:
        shutil.rmtree(self.venv, ignore_errors=True)
        self.python.parent.mkdir(parents=True)
        self.python.symlink_to(sys.executable)
        (self.venv / "pyvenv.cfg").touch()


@pytest.fixture
def house(tmp_path: Path) -> Rehearsal:
    root = tmp_path / "a folder with spaces"
    (root / "tests").mkdir(parents=True)
    (root / "requirements.txt").write_text("gradio==6.31.0\n")
    (root / "tests" / "requirements.txt").write_text("pytest==9.2.0\n")
    return Rehearsal(root)


def test_the_first_start_installs_in_order_and_proves_it(house):
    prepare(house, CPU)
    steps = ("-m venv", "pip install", "pip install", "compileall", "app.py doctor")
    assert len(house.commands) == len(steps)
    assert all(step in line for step, line in zip(steps, house.commands, strict=True))
    assert house.commands[1].endswith(" torch==2.13.0")
    assert house.commands[2].endswith(" -r requirements.txt")
    assert house.said[-1] == "Ready."
    assert any("PyTorch for CPU, about 200 MB" in sentence for sentence in house.said)


def test_the_second_start_runs_nothing_and_says_nothing(house):
    prepare(house, CPU)
    house.commands.clear()
    house.said.clear()
    prepare(house, CPU)
    assert (house.commands, house.said) == ([], [])


def test_changed_requirements_are_installed_without_a_new_environment(house):
    prepare(house, CPU)
    house.commands.clear()
    (house.root / "requirements.txt").write_text("gradio==6.32.0\n")
    prepare(house, CPU)
    assert house.did("-r requirements.txt")
    assert not house.did("-m venv")
    assert not house.did("uninstall")


def test_a_new_card_replaces_the_build_and_says_so(house):
    prepare(house, CPU)
    house.commands.clear()
    prepare(house, CUDA)
    removal = next(i for i, line in enumerate(house.commands) if "uninstall" in line)
    assert house.commands[removal + 1].endswith(
        "--index-url https://download.pytorch.org/whl/cu130"
    )
    assert any("make way for PyTorch for CUDA 13.0" in sentence for sentence in house.said)


@pytest.mark.parametrize(
    "fault", ["torch==2.13.0", "-r requirements.txt", "app.py doctor", "-m venv"]
)
def test_a_start_that_fails_is_made_good_by_the_next(house, fault):
    house.fails.append(fault)
    with pytest.raises(SystemExit):
        prepare(house, CPU)
    assert "Ready." not in house.said
    house.commands.clear()
    prepare(house, CPU)
    assert house.did("app.py doctor")
    assert house.said[-1] == "Ready."


def test_a_process_killed_in_the_middle_is_made_good_by_the_next_start(house, monkeypatch):
    def die(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(install, "_install_torch", die)
        with pytest.raises(KeyboardInterrupt):
            prepare(house, CPU)
    prepare(house, CPU)
    assert house.said[-1] == "Ready."


def test_an_environment_that_cannot_be_repaired_is_made_anew_once(house):
    prepare(house, CPU)
    (house.root / "requirements.txt").write_text("gradio==6.32.0\n")
    house.commands.clear()
    house.fails.append("app.py doctor")
    prepare(house, CPU)
    assert house.did("-m venv --clear")
    assert any(sentence.startswith("Deleting the environment") for sentence in house.said)
    assert house.said[-1] == "Ready."


def test_an_environment_whose_python_is_gone_is_made_anew(house):
    prepare(house, CPU)
    house.python.unlink()
    house.commands.clear()
    prepare(house, CPU)
    assert house.did("-m venv --clear")


def test_a_folder_of_the_users_own_is_never_cleared(house):
    house.venv.mkdir()
    (house.venv / "diary.txt").write_text("dear diary")
    with pytest.raises(SystemExit, match="holds something else"):
        prepare(house, CPU)
    assert (house.venv / "diary.txt").exists()


def test_a_full_drive_is_told_before_the_download(house, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**12, 10**12, 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(SystemExit, match=r"1\.0 GB free and the program needs 8 GB"):
        prepare(house, CUDA)
    assert house.commands == []


def test_a_machine_without_a_build_stops_with_the_next_step(house):
    choice = Choice(label="none", pip_arguments=(), reason="an Intel Mac", advice="Use another.")
    with pytest.raises(SystemExit, match=r"an Intel Mac\. Use another\."):
        prepare(house, choice)
    assert house.commands == []


def test_a_failed_proof_on_a_card_names_the_way_round_it(house):
    house.fails.append("app.py doctor")
    with pytest.raises(SystemExit, match="ATELIER_TORCH=cpu"):
        prepare(house, CUDA)


def test_the_test_packages_are_installed_once(house, monkeypatch):
    monkeypatch.setattr(install, "find_browser", lambda: "chromium")
    prepare(house, CPU, tests=True)
    assert house.commands[-1].endswith("requirements.txt")
    house.commands.clear()
    prepare(house, CPU, tests=True)
    assert house.commands == []


def test_tests_without_a_browser_say_what_is_skipped(house, monkeypatch):
    monkeypatch.setattr(install, "find_browser", lambda: None)
    monkeypatch.setattr(install, "install_browser", lambda run: None)
    prepare(house, CPU, tests=True)
    assert "The browser tests will be skipped" in house.said[-1]


def test_a_command_that_takes_long_gives_signs_of_life(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(install, "HEARTBEAT_SECONDS", 0.05)
    assert House(tmp_path).run((sys.executable, "-c", "import time; time.sleep(0.3); exit(7)")) == 7
    assert "still at it" in capfd.readouterr().out


def test_a_pip_set_to_user_installations_does_not_break_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_USER", "1")
    check = "import os, sys; sys.exit(os.environ['PIP_USER'] != '0')"
    assert House(tmp_path).run((sys.executable, "-c", check)) == 0


def test_the_browser_named_by_the_user_is_the_one_that_counts(tmp_path, monkeypatch):
    program = tmp_path / "my chromium"
    program.touch(mode=0o755)
    monkeypatch.setenv("CHROMIUM", str(program))
    assert browser.find_browser() == str(program)
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "gone"))
    assert browser.find_browser() is None


def test_without_the_right_to_install_no_browser_is_installed(monkeypatch):
    monkeypatch.setattr(browser, "_become_root", lambda: None)
    assert browser.install_browser(pytest.fail) is None


def test_on_debian_with_the_right_to_install_the_browser_comes_from_apt(monkeypatch):
    commands = []
    monkeypatch.setattr(browser, "_become_root", lambda: ("sudo", "-n"))
    monkeypatch.setattr(browser, "find_browser", lambda: "chromium")
    monkeypatch.setattr(browser.shutil, "which", lambda name: name)
    monkeypatch.setattr(browser.Path, "exists", lambda path: True)
    assert browser.install_browser(lambda command: commands.append(command) or 0) == "chromium"
    assert [command[:4] for command in commands] == [
        ("sudo", "-n", "apt-get", "update"),
        ("sudo", "-n", "apt-get", "install"),
    ]


def test_the_engine_is_imported_before_any_package_is_there():
    """The installer is a module of the engine, and runs on a Python that has nothing but itself."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-S", "-c", "import engine, engine.setup.install"]
    subprocess.run(command, cwd=root, env={"PYTHONPATH": str(root)}, check=True)
