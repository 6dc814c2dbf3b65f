"""A prompt is read once: not again for another seed, adapter or model, nor by the next process."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from engine.checkpoints import header_cache
from engine.checkpoints.open import open_model
from engine.errors import NumericalError
from engine.memory.studio import Place, Studio
from engine.memory.tensor_cache import TensorCache
from engine.model.text_encoder import TextEncoder
from engine.request import LongPrompt, Precision
from engine.tasks.text_to_image import Captioning, caption
from tests.tiny import save_tiny_model

FP32 = Place(device="cpu", precision=Precision.FP32)
BF16 = Place(device="cpu", precision=Precision.BF16)
INT8 = Place(device="cpu", precision=Precision.INT8)
PROMPT = "a red circle"


@pytest.fixture
def read(monkeypatch) -> list[int]:
    """The number of tokens of each prompt that the text encoder reads."""
    lengths, forward = [], TextEncoder.forward

    def counting(self, tokens):
        lengths.append(tokens.shape[1])
        return forward(self, tokens)

    monkeypatch.setattr(TextEncoder, "forward", counting)
    return lengths


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "cache" / "prompts"


def how(cache=None, adapted="", way=LongPrompt.CUT, warn=lambda message: None):
    return Captioning(warn=warn, adapted=adapted, way=way, cache=cache)


def ask(folder, path, prompt=PROMPT, adapted="", place=FP32):
    """Read a prompt as a new process would."""
    model = Studio().model(open_model(path), place, lambda: None)
    cache = None if folder is None else TensorCache(folder)
    with torch.inference_mode():
        return caption(model, prompt, how(cache, adapted))


def test_the_next_process_does_not_read_a_known_prompt(folder, tiny_model, read):
    first = ask(folder, tiny_model)
    assert len(read) == 1
    assert torch.equal(ask(folder, tiny_model), first)
    assert len(read) == 1
    assert torch.equal(ask(None, tiny_model), first)
    assert len(read) == 2


def test_the_empty_prompt_is_kept_like_any_other(folder, tiny_model, read):
    ask(folder, tiny_model, "")
    ask(folder, tiny_model, "")
    assert len(read) == 1


def test_adapters_refine_a_known_prompt_anew_without_reading_it(folder, tiny_model, read):
    model = Studio().model(open_model(tiny_model), FP32, lambda: None)
    cache = TensorCache(folder)
    plain = caption(model, PROMPT, how(cache))
    with torch.no_grad():
        model.transformer.context_refiner[0].attention.out.weight.mul_(2)
    adapted = caption(model, PROMPT, how(cache, "an adapter"))
    assert len(read) == 1
    assert not torch.equal(plain, adapted)
    assert torch.equal(caption(model, PROMPT, how(cache)), plain)


@pytest.mark.parametrize(("way", "tokens"), [("cut", 512), ("sentence", 510), ("full", 619)])
def test_a_long_prompt_is_read_as_asked_and_told(tiny_model, read, way, tokens):
    model = Studio().model(open_model(tiny_model), FP32, lambda: None)
    told = []
    # 4 tokens in a sentence with the blank after it, and 19 in the template.
    with torch.inference_mode():
        caption(model, "aa. " * 150, how(way=LongPrompt(way), warn=told.append))
    assert read == [tokens]
    (notice,) = told
    assert notice.startswith("The prompt has 619 tokens")


def test_ways_to_read_a_long_prompt_are_kept_apart(tiny_model):
    model = Studio().model(open_model(tiny_model), FP32, lambda: None)
    with torch.inference_mode():
        cut, sentence, full, *again = (
            caption(model, "aa. " * 150, how(way=way)) for way in (*LongPrompt, *LongPrompt)
        )
    assert not torch.equal(cut, sentence)
    assert len(full) > len(cut)
    assert all(map(torch.equal, (cut, sentence, full), again))


def test_another_prompt_precision_or_encoder_is_read(folder, tiny_model, other_model, read):
    ask(folder, tiny_model)
    others = ({"prompt": "a red circle."}, {"place": BF16}, {"place": INT8}, {"path": other_model})
    for number, values in enumerate(others, start=2):
        ask(folder, **{"path": tiny_model, **values})
        assert len(read) == number
    ask(folder, tiny_model)
    assert len(read) == number
    assert len(list(folder.iterdir())) == number


def test_an_encoder_that_no_sample_tells_apart_is_read_if_its_file_changed(folder, tmp_path, read):
    path = tmp_path / "model"
    path.mkdir()
    save_tiny_model(path)
    before = ask(folder, path)
    (weights,) = (path / "text_encoder").glob("*.safetensors")
    data = bytearray(weights.read_bytes())
    samples = open_model(path).parts.text_encoder.headers[0].known
    free = next(
        place
        for place in range(len(data) - 2, 0, -2)
        if not any(start - 2 <= place < end for start, end in samples)
    )
    data[free : free + 2] = b"\0\0"
    digest = open_model(path).parts.text_encoder.digest
    weights.write_bytes(data)
    assert open_model(path).parts.text_encoder.digest == digest
    after = ask(folder, path)
    assert len(read) == 2
    assert after.shape == before.shape


def test_a_damaged_entry_is_read_anew_and_mended(folder, tiny_model, read):
    first = ask(folder, tiny_model)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + b"\0\0\0")
    assert torch.equal(ask(folder, tiny_model), first)
    assert len(read) == 2
    assert path.read_bytes() == whole


def test_no_text_of_a_prompt_is_kept(folder, tiny_model):
    ask(folder, tiny_model, "Wellington")
    (path,) = folder.iterdir()
    assert b"ellingto" not in path.read_bytes()
    assert "ellingto" not in path.name


def test_numbers_gone_wrong_are_not_kept(folder, tiny_model, monkeypatch):
    forward = TextEncoder.forward
    monkeypatch.setattr(
        TextEncoder, "forward", lambda self, tokens: forward(self, tokens) * float("nan")
    )
    with pytest.raises(NumericalError, match="Reading the prompt in fp32"):
        ask(folder, tiny_model)
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_to_costs_time_and_nothing_else(tmp_path, tiny_model, read):
    (tmp_path / "file").write_bytes(b"")
    first = ask(tmp_path / "file" / "prompts", tiny_model)
    assert torch.equal(ask(tmp_path / "file" / "prompts", tiny_model), first)
    assert len(read) == 2


PROGRAM = """
import sys
from pathlib import Path

opened = []
sys.addaudithook(lambda event, given: opened.append(given[0]) if event == "open" else None)

from engine.jobs.order import Hooks, Order, Output
from engine.memory.studio import Studio
from engine.request import Request
from engine.run import execute

model, data, prompt, seed, size = sys.argv[1:]
request = Request(
    prompt=prompt, negative="", model=model, guidance_scale=2.0, steps=2, seed=int(seed),
    width=int(size), height=64, precision="fp32", device="cpu",
)
order = Order(
    job="job", request=request, output=Output(folder=Path(data)), data_dir=Path(data),
    lora_folder=Path(data),
)
hooks = Hooks(emit=lambda step: None, warn=lambda message: None, cancelled=lambda: False)
execute(order, Studio(), hooks)
for path in opened:
    sys.stdout.write(f"{path}\\n")
"""


def opens(model: Path, data: Path, prompt: str, seed: int, size: int) -> list[str]:
    """Paint in a process of its own; return the weight files that it opened, without folders."""
    words = [sys.executable, "-c", PROGRAM, model, data, prompt, str(seed), str(size)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    opened = [Path(line) for line in done.stdout.splitlines()]
    return [f"{path.parent.name}/{path.name}" for path in opened if path.is_relative_to(model)]


def test_a_new_process_never_opens_the_encoder_for_a_prompt_it_knows(tiny_model, tmp_path):
    (weights,) = (tiny_model / "text_encoder").glob("*.safetensors")
    changed = weights.stat().st_ctime_ns
    time.sleep(max(0.0, (header_cache.RESTING_NS + changed - time.time_ns()) / 1e9 + 0.1))
    encoder = f"text_encoder/{weights.name}"
    assert encoder in opens(tiny_model, tmp_path, PROMPT, seed=1, size=64)
    again = opens(tiny_model, tmp_path, PROMPT, seed=2, size=96)
    assert "transformer/diffusion_pytorch_model.safetensors" in again
    assert encoder not in again
    assert encoder in opens(tiny_model, tmp_path, "another prompt", seed=1, size=64)
