"""The linter and the type checker, as tests, so that one command proves everything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.sources import ROOT


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_linter_finds_nothing():
    done = run("ruff", "check", "--output-format=concise", "--no-cache")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_type_checker_finds_nothing():
    done = run("mypy")
    assert done.returncode == 0, done.stdout


def test_the_linter_finds_a_banned_call(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import torch\n\n\ndef read(file: str) -> object:\n    return torch.load(file)\n"
    )
    done = run("ruff", "check", "--no-cache", "--config", str(ROOT / "pyproject.toml"), str(bad))
    assert done.returncode == 1
    assert "torch.load" in done.stdout


def test_the_type_checker_finds_a_missing_type(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("def double(x):\n    return x + x\n")
    config = str(ROOT / "pyproject.toml")
    done = run("mypy", "--config-file", config, "--cache-dir", str(tmp_path), str(bad))
    assert done.returncode == 1
    assert "no-untyped-def" in done.stdout
