"""The commands: what they print, where they write, and how they end."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file

from engine import cli, log
from engine.cli.options import parse, request_of
from engine.errors import BadRequest, DiskError
from engine.images.metadata import read_recipe
from engine.request import LongPrompt, Lora, Request
from engine.storage import project_root
from engine.variants import VARIANTS
from tests.engine.test_run_adapters import write_lora

ROOT = project_root()
APP = (sys.executable, str(ROOT / "app.py"))
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@pytest.fixture(autouse=True)
def _own_signals():
    """The door to the commands takes SIGTERM; give it back."""
    kept = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, kept)


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run a command in this process, from a folder of its own; return code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, list[str], list[str]]:
        code = cli.main(arguments, lambda *_: None)
        written = capsys.readouterr()
        return code, written.out.splitlines(), written.err.splitlines()

    return call


def small(model: Path, *rest: str) -> list[str]:
    return ["--model", str(model), "--size", "64x64", "--steps", "4", "--seed", "5", *rest]


WRONG = {
    "an unknown option": (["--nonsense"], "--nonsense"),
    "an unknown command": (["paint"], "paint"),
    "an option of another command": (["generate", "x", "--strength", "1"], "--strength"),
    "a LoRA's wild weight": (["generate", "x", "--lora", "y.safetensors:9"], "9"),
    "a LoRA without name": (["generate", "x", "--lora", ":1"], "LoRA"),
    "no prompt": (["generate"], "PROMPT"),
    "an abbreviated option": (["generate", "x", "--guid", "3"], "--guid"),
    "a seed that is no number": (["generate", "x", "--seed", "abc"], "abc"),
    "a negative seed": (["generate", "x", "--seed", "-1"], "-1"),
    "no step": (["generate", "x", "--steps", "0"], "steps is 0"),
    "a guidance that is no number": (["generate", "x", "--guidance", "nan"], "nan"),
    "an endless shift": (["generate", "x", "--shift", "inf"], "inf"),
    "a size without height": (["generate", "x", "--size", "64"], "'64' is no size"),
    "a size that is no multiple": (["generate", "x", "--size", "100x64"], "width is 100"),
    "a huge size": (["generate", "x", "--size", "8192x8192"], "8192 x 8192"),
    "no picture": (["generate", "x", "--count", "0"], "number of pictures is 0"),
    "an unknown precision": (["generate", "x", "--precision", "fp8"], "fp8"),
    "a card with no memory": (["generate", "x", "--vram", "-4"], "-4"),
    "an output that is no picture": (
        ["generate", "x", "-o", "out.gif"], "'out.gif' does not end in .png or .webp or .jpg",
    ),
    "an output folder that is not there": (["generate", "x", "-o", "no/out.png"], "folder no"),
    "latents in a folder that is not there": (
        ["generate", "x", "--save-latents", "no/l.safetensors"], "folder no",
    ),
    "an output with an endless name": (
        ["generate", "x", "-o", f"{'n' * 300}.png"], "File name too long",
    ),
    "an output whose number does not fit": (
        ["generate", "x", "--count", "2", "-o", f"{'n' * 250}.png"], "File name too long",
    ),
    "latents with an endless name": (
        ["generate", "x", "--save-latents", f"{'n' * 300}.safetensors"], "File name too long",
    ),
    "figures in a folder that is not there": (["bench", "--json", "no/f.json"], "folder no"),
    "figures with an endless name": (["bench", "--json", "n" * 300], "File name too long"),
    "latents that are no safetensors": (["generate", "x", "--save-latents", "l.pt"], "l.pt"),
    "a NUL in the prompt": (["generate", "a\0b"], "NUL"),
    "a prompt without end": (["generate", "x" * 100_001], "100,001"),
    "models without an action": (["models"], "ACTION"),
    "a model that is not there": (["models", "info", "nonesuch"], "nonesuch"),
    "a port out of range": (["--port", "70000"], "70000"),
    "an option of the page before a command": (["--device", "cpu", "doctor"], "--device"),
    "a benchmark against a stranger": (["bench", "--against", "comfy"], "comfy"),
    "two models to measure": (["bench", "--model", "x", "--random-weights", "demo"], "--model"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_ends_with_2_and_one_line_that_names_it(case, run):
    arguments, named = WRONG[case]
    code, out, err = run(*arguments)
    assert (code, out) == (2, [])
    (line,) = err
    assert line.startswith("error: ")
    assert named in line


@pytest.mark.parametrize("option", [["-o", "x.png"], ["--save-latents", "x.safetensors"]])
def test_a_folder_that_may_not_be_written_to_is_refused_before_anything_is_painted(
    run, monkeypatch, option
):
    monkeypatch.setattr(os, "access", lambda *_: False)
    code, _, (line,) = run("generate", "x", *option)
    assert code == 2
    assert f"{option[0]} is closed to you" in line


def test_one_of_several_names_that_is_a_folder_is_refused_before_anything_is_painted(run, tmp_path):
    (tmp_path / "x-2.png").mkdir()
    code, _, (line,) = run("generate", "x", "--count", "2", "-o", "x.png")
    assert (code, "x-2.png is a folder" in line) == (2, True)


def test_without_a_log_folder_a_bug_still_is_one_line(run, capsys, monkeypatch):
    def closed(*_arguments):
        raise DiskError("no log here")

    def broken(*_arguments):
        raise ZeroDivisionError("a bug")

    # Without a handler logging has one of last resort, which writes to stderr.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(log, "make_folder", closed)
    monkeypatch.setattr("engine.cli.models.installed", broken)
    with pytest.raises(SystemExit):
        run("models", "list")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: Unexpected ZeroDivisionError")


@posix
@pytest.mark.parametrize("stdout", [">/dev/full", "| true", ">&-"])
def test_an_output_that_takes_nothing_is_no_bug_of_ours(stdout, tmp_path):
    command = f'{{ sleep 1; "$@"; echo $? >code; }} {stdout}'
    done = subprocess.run(
        ["sh", "-c", command, "sh", *APP, "models", "list"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "tandard output" in line
    assert (tmp_path / "code").read_text() == "2\n"


def test_an_interrupt_while_the_program_is_read_is_one_line():
    program = (
        "import runpy, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'engine.cli.terminal':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Finder())\n"
        "runpy.run_path('app.py', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "error: The command was cancelled.\n")


def test_a_bug_ends_with_1_and_one_line(run, capsys, monkeypatch):
    def broken(_arguments):
        raise ZeroDivisionError("a\nbug")

    monkeypatch.setattr(cli, "parse", broken)
    with pytest.raises(SystemExit) as left:
        run("doctor")
    assert left.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: Unexpected ZeroDivisionError: a bug.")


def test_an_interrupt_ends_with_130_and_one_line(run, monkeypatch):
    def interrupted(_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "parse", interrupted)
    assert run("doctor") == (130, [], ["error: The command was cancelled."])


@pytest.mark.parametrize("command", ["generate", "models", "bench", "doctor", ""])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main([*([command] if command else []), "--help"], lambda *_: None)
    assert left.value.code == 0
    assert command in capsys.readouterr().out


def test_help_and_wrong_options_do_not_wait_for_torch():
    program = (
        "import sys\nfrom engine.cli import main\n"
        "assert main(['generate', 'x', '--size', '1'], None) == 2\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_models_are_listed(run):
    code, out, err = run("models", "list", "--json")
    listed = {model["name"]: model for model in json.loads(out[0])}
    assert (code, err) == (0, [])
    assert list(listed)[: len(VARIANTS)] == [variant.name for variant in VARIANTS]
    assert "not been published" in listed["edit"]["unavailable"]
    assert listed["turbo"]["downloads"]["bf16"] > 20e9
    assert len(run("models", "list")[1]) == len(listed)


def test_a_model_that_lacks_parts_is_added_and_listed_with_what_it_lacks(run, tiny_model):
    (weights,) = (tiny_model / "transformer").glob("*.safetensors")
    shutil.copy(weights, "alone.safetensors")
    lacks = "comes without text encoder, autoencoder, tokenizer"
    code, out, (warning,) = run("models", "add", "alone.safetensors", "--data-dir", "own")
    assert (code, out, lacks in warning) == (0, ["alone"], True)
    listed = run("models", "list", "--data-dir", "own")[1][-1]
    assert ("not ready" in listed, lacks in listed) == (True, True)
    last = json.loads(run("models", "list", "--json", "--data-dir", "own")[1][0])[-1]
    assert (last["ready"], lacks in last["problem"]) == (False, True)


@pytest.mark.parametrize(
    "words", [("convert", "nope", "x", "--precision", "bf16"), ("models", "add", "nope")]
)
def test_a_path_that_is_not_there_is_said_as_it_was_typed(words, run):
    code, _, (line,) = run(*words)
    assert (code, line.startswith("error: nope does not exist.")) == (2, True)


def test_a_folder_is_converted_by_a_relative_path(run, tiny_model):
    shutil.copytree(tiny_model, "here")
    assert run("convert", "here", "there", "--precision", "bf16")[0] == 0
    assert run("models", "info", "there", "--json")[0] == 0


def test_a_model_is_described(run, tiny_model):
    code, out, err = run("models", "info", str(tiny_model), "--json")
    found = json.loads(out[0])
    assert (code, err) == (0, [])
    assert (found["part"], found["variant"], found["dialect"]) == ("model", "turbo", "diffusers")
    assert "Z-Image, model, turbo" in run("models", "info", str(tiny_model))[1][0]


def test_info_says_what_an_adapter_is(run, tmp_path):
    write_lora(tmp_path / "ink.safetensors")
    code, out, _ = run("models", "info", "ink.safetensors")
    assert (code, "LoRA, 1 of 1 modules" in out[0], "rank 4" in out[1]) == (0, True, True)
    code, out, _ = run("models", "info", "ink.safetensors", "--json")
    assert json.loads(out[0])["verdict"] == "fits"


def test_info_refuses_an_adapter_of_another_family(run, tmp_path):
    write_lora(tmp_path / "s.safetensors", module="double_blocks.0.img_attn.proj")
    code, out, (line,) = run("models", "info", "s.safetensors")
    assert (code, out, "s.safetensors" in line) == (2, [], True)


def test_a_picture_is_painted_with_an_adapter(run, tiny_model, tmp_path):
    write_lora(tmp_path / "ink.safetensors")
    for name, option in (("a", ()), ("b", ("--lora", "ink.safetensors:0.5"))):
        assert run("generate", "x", *small(tiny_model), *option, "-o", f"{name}.png")[0] == 0
    assert Path("a.png").read_bytes() != Path("b.png").read_bytes()
    assert read_recipe(Path("b.png"))["request"]["loras"] == [
        {"name": "ink.safetensors", "weight": 0.5}
    ]
    code, _, err = run("generate", "x", *small(tiny_model), "--lora", "ink2", "-o", "c.png")
    assert (code, "ink2" in err[0]) == (2, True)


def test_a_stranger_is_told_from_a_model(run, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"\x80\x04PK not at all")
    code, _, err = run("models", "info", "x.safetensors")
    assert (code, len(err)) == (2, 1)


def test_pictures_are_written_and_told_in_json(run, tiny_model, tmp_path):
    arguments = small(tiny_model, "--count", "2", "--json", "-o", "out.png")
    code, out, err = run("generate", "a cat", *arguments, "--save-latents", "l.safetensors")
    assert code == 0
    assert all(line.startswith("warning: ") for line in err)
    told = [json.loads(line) for line in out]
    assert [Path(line["path"]) for line in told] == [tmp_path / "out-1.png", tmp_path / "out-2.png"]
    assert [line["seed"] for line in told] == [5, 6]
    for line in told:
        assert set(line) == {
            "path", "seed", "model", "precision", "steps", "nfe", "skipped", "seconds",
            "peak_memory", "plan", "warnings", "outside",
        }  # fmt: skip
        assert (line["precision"], line["steps"], line["nfe"]) == ("fp32", 4, 4)
        assert line["model"] == tiny_model.name
        assert 0 < line["seconds"]["denoising"] <= line["seconds"]["total"]
        assert line["warnings"] == [note.removeprefix("warning: ") for note in err]
        assert read_recipe(Path(line["path"]))["request"]["seed"] == line["seed"]
    assert load_file(tmp_path / "l.safetensors")["latents"].shape == (2, 16, 8, 8)


def test_without_json_the_path_alone_is_told(run, tiny_model, tmp_path):
    code, out, _ = run("generate", "a cat", *small(tiny_model), "-o", "one.png")
    assert (code, out) == (0, [str(tmp_path / "one.png")])
    with Image.open(out[0]) as picture:
        assert picture.size == (64, 64)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.webp", "WEBP"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG")]
)
def test_the_end_of_the_name_says_how_a_picture_is_written(run, tiny_model, name, kind):
    assert run("generate", "a cat", *small(tiny_model), "-o", name)[0] == 0
    with Image.open(name) as picture:
        assert picture.format == kind
    assert read_recipe(Path(name))["request"]["prompt"] == "a cat"


def test_what_fails_while_painting_is_told_like_wrong_input(run, tiny_model, tmp_path):
    code, out, err = run("generate", "a cat", *small(tiny_model), "--sampler", "x", "-o", "a.png")
    assert (code, out) == (2, [])
    assert [line for line in err if line.startswith("error: ")] == err[-1:]
    assert "The sampler 'x' is not known" in err[-1]
    assert not (tmp_path / "a.png").exists()


def test_every_option_reaches_the_request():
    options = cli.parse(
        ["generate", "p", "--model", "m", "--negative", "n", "--seed", "1", "--steps", "2",
         "--guidance", "3", "--shift", "4", "--sampler", "s", "--size", "64x80", "--count", "5",
         "--cfg-normalization", "6", "--cfg-truncation", "0.7", "--precision", "bf16",
         "--device", "cuda:1", "--step-cache", "0.2"]
    )  # fmt: skip
    assert request_of(options) == Request(
        prompt="p", negative="n", model="m", seed=1, steps=2, guidance_scale=3.0, shift=4.0,
        sampler="s", width=64, height=80, count=5, cfg_normalization=6.0, cfg_truncation=0.7,
        precision="bf16", device="cuda:1", step_cache=0.2,
    )  # fmt: skip


def test_a_command_line_without_options_is_the_default_request():
    assert request_of(cli.parse(["generate", "p"])) == Request(prompt="p")


def test_words_are_drawn_by_the_seed_only_where_asked():
    words = ["generate", "a {red|blue|green|pink} __demo-shape__ {x|x}", "--seed", "5"]
    assert request_of(parse(words)).prompt == words[1]
    drawn = request_of(parse([*words, "--wildcards", "--negative", "{fog|fog}"]))
    assert drawn.prompt == request_of(parse([*words, "--wildcards"])).prompt
    assert "{" not in drawn.prompt
    assert "__" not in drawn.prompt
    assert drawn.negative == "fog"
    seedless = request_of(parse([*words[:2], "--wildcards"]))
    again = request_of(parse([*words[:2], "--wildcards", "--seed", str(seedless.seed)]))
    assert seedless == again


def test_an_unknown_word_list_is_refused():
    with pytest.raises(BadRequest, match="no word list 'nope'"):
        request_of(parse(["generate", "__nope__", "--wildcards"]))


@pytest.mark.parametrize("way", LongPrompt)
def test_a_long_prompt_is_shortened_as_asked(way):
    assert request_of(parse(["generate", "x", "--long-prompt", way])).long_prompt is way


def test_the_pages_options_reach_the_page(tmp_path):
    seen = []

    def open_page(engine, options):
        seen.append((engine.settings, options))

    words = "--host 0.0.0.0 --port 7861 --share --password secret --no-browser --vram 6"
    arguments = [*words.split(), "--device", "cpu", "--data-dir", str(tmp_path)]
    assert cli.main(arguments, open_page) == 0
    ((settings, options),) = seen
    assert (options.host, options.port, options.share) == ("0.0.0.0", 7861, True)
    assert (options.password, options.browser) == ("secret", False)
    assert (settings.device, settings.vram_gb, settings.data_dir) == ("cpu", 6.0, tmp_path)
    assert (tmp_path / "logs" / "studio.log").exists()


@pytest.mark.parametrize("before", [True, False])
def test_a_data_folder_is_named_before_or_behind_any_command(before, tmp_path):
    named = ["--data-dir", str(tmp_path)]
    for words in (
        ["generate", "x"], ["edit", "x", "--image", "i"], ["inpaint", "x", "--image", "i"],
        ["batch", "i", "-o", "o", "--prompt", "x"], ["models", "list"], ["models", "info", "m"],
        ["models", "add", "m"], ["models", "download", "m"], ["models", "verify", "m"],
        ["convert", "a", "b", "--precision", "int8"], ["bench"], ["doctor"],
    ):  # fmt: skip
        assert parse([*named, *words] if before else [*words, *named]).data_dir == tmp_path


def test_pictures_without_a_name_go_to_the_data_folder_that_is_named(run, tiny_model, tmp_path):
    code, (path,), _ = run("generate", "x", *small(tiny_model), "--data-dir", "own")
    assert (code, Path(path).parent) == (0, tmp_path / "own" / "outputs")
    assert (tmp_path / "own" / "logs" / "generate.log").exists()


def test_damaged_settings_are_told_when_the_page_opens(tmp_path, capsys):
    (tmp_path / "settings.json").write_text("{")
    assert cli.main(["--data-dir", str(tmp_path)], lambda *_: None) == 0
    assert capsys.readouterr().err.startswith("warning: The settings file")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "lora"),
    [
        ("a.safetensors", Lora("a.safetensors")),
        ("a.safetensors:0.5", Lora("a.safetensors", 0.5)),
        ("a:-1", Lora("a", -1.0)),
        ("a:+.5", Lora("a", 0.5)),
        ("C:/x/a.safetensors", Lora("C:/x/a.safetensors")),
        ("a:b:2", Lora("a:b", 2.0)),
        ("a:1e-1", Lora("a", 0.1)),
        ("a:1e", Lora("a:1e")),
    ],
)
def test_a_lora_has_the_weight_behind_the_last_colon(text, lora):
    assert request_of(parse(["generate", "x", "--lora", text])).loras == (lora,)


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*APP, *arguments], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@posix
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.5, 4.0, 12.0])
def test_a_signal_ends_a_command_within_five_seconds_and_leaves_no_file(
    number, delay, tiny_model, tmp_path
):
    arguments = ["--model", str(tiny_model), "--size", "64x64", "--steps", "1000", "--count", "64"]
    process = start("generate", "x", *arguments, "-o", "x.png", cwd=tmp_path)
    time.sleep(delay)
    began = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    if delay > 1:
        assert process.returncode == 130
        lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
        assert lines == ["error: The command was cancelled."]
    assert list(tmp_path.iterdir()) == []
