"""The command `batch`: many pictures, faults of each, a contact sheet, exit codes."""

from __future__ import annotations

import json
import logging
import signal
from pathlib import Path

import pytest
from PIL import Image

from engine import cli
from engine.images.measure import picture_size
from engine.images.metadata import read_recipe


@pytest.fixture(autouse=True)
def _own_signals():
    """The door to the commands takes SIGTERM; give it back."""
    kept = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, kept)
    for handler in list(logging.getLogger("engine").handlers):
        logging.getLogger("engine").removeHandler(handler)


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run a command in this process, from a folder of its own; return code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, list[str], list[str]]:
        code = cli.main(arguments, lambda *_: None)
        written = capsys.readouterr()
        return code, written.out.splitlines(), written.err.splitlines()

    return call


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in (("a.png", "red"), ("b.jpg", "lime")):
        Image.new("RGB", (64, 64), colour).save(folder / name)
    return folder


@pytest.fixture
def words(tiny_model) -> list[str]:
    """Options of a prompt for the tiny model."""
    model = ["--model", str(tiny_model), "--steps", "2", "--seed", "5", "--device", "cpu"]
    return ["--prompt", "a red circle", "--strength", "0.6", *model]


def test_every_picture_is_redrawn_with_a_sheet_at_the_end(run, photos, words):
    code, out, err = run("batch", str(photos), "-o", "out", *words)
    assert (code, err) == (0, [])
    names = ["a.png", "b.png", "contact-sheet.jpg"]
    assert [Path(line) for line in out] == [Path("out").absolute() / name for name in names]
    assert sorted(path.name for path in Path("out").iterdir()) == names
    recipe = read_recipe(Path("out/a.png"))["request"]
    assert recipe["prompt"] == "a red circle"
    assert recipe["images"][0].startswith("input:")
    assert picture_size(Path("out/a.png")) == (64, 64)


def test_what_fails_is_told_and_does_not_stop_the_rest(run, photos, words):
    (photos / "aa.png").write_bytes(b"no picture")
    code, out, err = run("batch", str(photos), "-o", "out", "--json", *words)
    assert code == 2
    lines = [json.loads(line) for line in out]
    assert [Path(line["source"]).name for line in lines] == ["a.png", "aa.png", "b.jpg"]
    assert [line["error"] is None for line in lines] == [True, False, True]
    assert lines[1]["path"] is None and Path(lines[2]["path"]).is_file()
    assert lines[0]["seed"] == 5
    assert [line.startswith("error: ") for line in err].count(True) == 1
    assert err[-1].startswith("error: 1 of 3 pictures")
    assert any(line.startswith("warning: aa.png: ") for line in err)


def test_the_sheet_can_be_left_out_and_the_format_chosen(run, photos, words):
    chosen = ("--no-sheet", "--format", "webp")
    code, _, _ = run("batch", str(photos / "a.png"), "-o", "out", *chosen, *words)
    assert code == 0
    assert [path.name for path in Path("out").iterdir()] == ["a.webp"]


def test_a_chain_is_replayed_on_other_pictures(run, photos, words):
    run("batch", str(photos / "a.png"), "-o", "one", "--no-sheet", *words)
    again = [*words[:1], "a blue square", *words[2:]]
    run("batch", "one/a.png", "-o", "two", "--no-sheet", *again)
    chain = ["--chain", "two/a.png", "--no-sheet", *words[4:6], *words[-2:]]
    code, _, err = run("batch", str(photos / "b.jpg"), "-o", "three", *chain)
    assert (code, err) == (0, [])
    recipe = read_recipe(Path("three/b.png"))["request"]
    assert recipe["prompt"] == "a blue square"
    assert read_recipe(Path("three/steps/b-1.png"))["request"]["prompt"] == "a red circle"


WRONG = {
    "neither prompt nor chain": (["a.png", "-o", "out"], "--prompt"),
    "both prompt and chain": (["a.png", "-o", "out", "--prompt", "x", "--chain", "b"], "--chain"),
    "no output": (["a.png", "--prompt", "x"], "-o"),
    "no picture": (["-o", "out", "--prompt", "x"], "PICTURE"),
    "an empty folder": (["empty", "-o", "out", "--prompt", "x"], "empty"),
    "an unknown format": (["a.png", "-o", "out", "--prompt", "x", "--format", "gif"], "gif"),
    "a wild strength": (["a.png", "-o", "out", "--prompt", "x", "--strength", "2"], "strength"),
    "more than one of each": (["a.png", "-o", "out", "--prompt", "x", "--count", "2"], "--count"),
    "settings beside a chain": (
        ["a.png", "-o", "out", "--chain", "a.png", "--steps", "4"], "steps",
    ),
    "a chain that is none": (["a.png", "-o", "out", "--chain", "a.png"], "begins"),
    "a chain that is not there": (["a.png", "-o", "out", "--chain", "none.png"], "none.png"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "named"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_command_says_what_is_wrong(run, tmp_path, arguments, named):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    code, out, err = run("batch", *arguments)
    assert (code, out) == (2, [])
    assert len(err) == 1 and err[0].startswith("error: ") and named in err[0]
    assert not (tmp_path / "out").exists()


def test_latents_are_not_kept(run, photos, words):
    code, _, err = run("batch", str(photos), "-o", "out", "--save-latents", "x.safetensors", *words)
    assert code == 2 and "--save-latents" in err[0]
