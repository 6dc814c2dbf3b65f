"""Builds the tokenizer of the Demo models from captions, in the files a Qwen2 tokenizer has."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from engine.demo.captions import caption, vocabulary
from engine.demo.scenes import FULL, sample_scene

SPECIAL_TOKENS: Final = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
)  # fmt: skip
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content"
    " + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The form of a Qwen3 chat with thinking allowed; one turn per message."""

_MOST_IDS: Final = 512
_CAPTIONS: Final = 30_000
_REPEATS: Final = 1_000
_SEED: Final = 0
_LONGEST: Final = 512
_WORDS: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2 splits text before byte pairs are merged (Qwen2 technical report, section 2.1)."""


def build_tokenizer(folder: Path) -> None:
    """Train byte pairs on captions and write the tokenizer's four files into `folder`.

    At most 512 ids with the special ones. The result is the same at every run.
    """
    tokenizer = _trained()
    folder.mkdir(parents=True, exist_ok=True)
    model = json.loads(tokenizer.to_str())["model"]
    pairs = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    files = {
        "tokenizer.json": tokenizer.to_str(pretty=True),
        "tokenizer_config.json": json.dumps(_config(tokenizer), indent=2, ensure_ascii=False),
        "vocab.json": json.dumps(model["vocab"], ensure_ascii=False),
        "merges.txt": "#version: 0.2\n" + "\n".join(pairs),
    }
    for name, text in files.items():
        path = folder / name
        path.write_text(text + "\n", encoding="utf-8", newline="\n")
        path.chmod(0o644)


def _trained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(_WORDS), behavior="isolated", invert=False)
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_MOST_IDS - len(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    )
    return tokenizer


def _corpus() -> Iterator[str]:
    """Yield captions, then every word over and over, so that rare words become one token too."""
    rng = random.Random(_SEED)  # noqa: S311 (a choice of captions, not a secret)
    for _ in range(_CAPTIONS):
        yield caption(sample_scene(rng, FULL), rng)
    for word in sorted(vocabulary()):
        yield f" {word}" * _REPEATS


def _config(tokenizer: Tokenizer) -> dict[str, object]:
    added = {
        str(tokenizer.token_to_id(token)): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for token in SPECIAL_TOKENS
    }
    return {
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": _LONGEST,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
