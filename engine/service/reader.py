"""Counts the tokens of prompts for the page, with each model's own tokenizer and without torch."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from engine.prompts import Reading, read_prompt
from engine.request import LongPrompt, Request
from engine.tasks.find import find_model

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class PromptReader:
    """Reads prompts as the worker would, and keeps the tokenizer of the model asked for last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[tuple[str, Path], Tokenizer] | None = None

    def read(self, prompt: str, model: str, way: LongPrompt, data_dir: Path) -> Reading:
        """Return how a model reads a prompt; raise `NotFound` or `FileRejected` for its files."""
        with self._lock:
            if self._kept is None or self._kept[0] != (model, data_dir):
                self._kept = (model, data_dir), _load(model, data_dir)
            tokenizer = self._kept[1]
        return read_prompt(tokenizer, prompt, way)


def _load(model: str, data_dir: Path) -> Tokenizer:
    # Not before it is needed: the tokenizer library takes a while to import.
    from engine.checkpoints.tokenizer import read_tokenizer

    found = find_model(Request(prompt="", model=model), data_dir)
    return read_tokenizer(found.tokenizer, found.text_encoder["vocab_size"])
