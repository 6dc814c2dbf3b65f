"""Loads the tokenizer: a Qwen2 tokenizer.json whose stages are the ones that we know."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tokenizers import Tokenizer

from engine.checkpoints.files import label, read_object
from engine.checkpoints.layout import MAX_TOKENIZER_BYTES
from engine.errors import FileRejected

CHAT_MARKS: Final = ("<|im_start|>", "<|im_end|>")
_DROPPED: Final = ("truncation", "padding", "post_processor", "decoder")
"""Stages that a plain encoding of text does not pass."""

_SPLIT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2 splits text. A stranger's pattern could take for ever on an innocent prompt."""


def _pre_tokenizer(*, trim_offsets: bool) -> dict[str, object]:
    """Describe Qwen2's pre-tokenizer; files differ in `trim_offsets`, which changes no token."""
    split = {
        "type": "Split", "pattern": {"Regex": _SPLIT}, "behavior": "Isolated", "invert": False
    }  # fmt: skip
    to_bytes = {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": trim_offsets,
        "use_regex": False,
    }  # fmt: skip
    return {"type": "Sequence", "pretokenizers": [split, to_bytes]}


_STAGES: Final[Mapping[str, tuple[dict[str, object], ...]]] = MappingProxyType(
    {
        "normalizer": ({"type": "NFC"},),
        "pre_tokenizer": tuple(_pre_tokenizer(trim_offsets=trim) for trim in (False, True)),
    }
)
"""What stages may be, whole: known rules put together anew could make a text grow without end."""

_SWITCHES: Final = (
    "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
    "byte_fallback", "ignore_merges",
)  # fmt: skip
_MAX_VALUES: Final = 1_500_000
_FINE: Final = object()
_OTHER: Final = "Use the tokenizer that belongs to this model."


def read_tokenizer(path: Path, vocabulary_size: int) -> Tokenizer:
    """Read a tokenizer whose ids lie below `vocabulary_size`; raise `FileRejected` with the reason.

    The file is checked before the tokenizer library sees it.
    """
    described = read_object(path, MAX_TOKENIZER_BYTES, _MAX_VALUES)
    fault = next(_faults(described, vocabulary_size), None)
    if fault is not None:
        raise FileRejected(f"{label(path)}: {fault}.", _OTHER)
    wanted = described | dict.fromkeys(_DROPPED)
    try:
        tokenizer = Tokenizer.from_str(json.dumps(wanted))
    except Exception as error:  # The library raises this class itself.
        raise FileRejected(f"{label(path)} is damaged: {error!s:.200}.") from error
    # An added token that is not in vocab gets an id of the library's own, whatever the file says.
    highest = max(tokenizer.get_vocab().values())
    if highest >= vocabulary_size:
        raise FileRejected(
            f"{label(path)}: its added_tokens reach the token id {highest:,}, but the text encoder "
            f"has {vocabulary_size:,}.",
            _OTHER,
        )
    return tokenizer


def _faults(described: dict[str, Any], vocabulary_size: int) -> Iterator[str]:
    """Yield what is wrong, the first fault first; later checks rely on earlier ones."""
    for name, known in _STAGES.items():
        if described.get(name) not in known:
            yield f"its {name} is not Qwen2's: {described.get(name)!r:.400}"
    model = described.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE":
        yield "it is no byte-pair tokenizer"
        return
    for name in _SWITCHES:
        if model.get(name):
            yield f"{name} is {model[name]!r:.80}, which is not supported"
    vocabulary, added = model.get("vocab"), described.get("added_tokens")
    yield from _vocabulary_faults(vocabulary, added, vocabulary_size)
    yield from _merge_faults(model.get("merges"), vocabulary)


def _vocabulary_faults(vocabulary: object, added: object, size: int) -> Iterator[str]:
    if not isinstance(vocabulary, dict) or not isinstance(added, list):
        yield "it has no vocab or no added_tokens"
        return
    tokens = [token if isinstance(token, dict) else {} for token in added]
    ids = [*vocabulary.values(), *(token.get("id") for token in tokens)]
    bad = next((i for i in ids if type(i) is not int or not 0 <= i < size), _FINE)
    if bad is not _FINE:
        yield f"the token id {bad!r:.40} is none of the text encoder's {size:,}"
    missing = [mark for mark in CHAT_MARKS if all(t.get("content") != mark for t in tokens)]
    if missing:
        yield f"it lacks the tokens {', '.join(missing)}"


def _merge_faults(merges: object, vocabulary: object) -> Iterator[str]:
    if not isinstance(merges, list) or not isinstance(vocabulary, dict):
        yield "it has no merges"
        return
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        whole = isinstance(pair, list) and len(pair) == 2 and all(isinstance(p, str) for p in pair)
        if not whole or not {*pair, "".join(pair)} <= vocabulary.keys():
            yield f"the merge {merge!r:.80} is not made of its tokens"
            return
