"""What an adapter file tells people about itself: model it was trained on, words, a picture.

All of it is free text of a stranger: bounded, on one line, and never needed to apply the file.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

from engine import strict_json
from engine.errors import FileRejected
from engine.lora.file import LoraFile
from engine.lora.foreign import printable

PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp", ".preview.png", ".preview.jpg")
"""Endings of the picture that people lay beside an adapter."""

MAX_WORDS: Final = 12
MAX_WORD: Final = 80
_MAX_TAGS_BYTES: Final = 4_000_000
_MAX_PICTURE_TEXT: Final = 4_000_000

# A bare "zimage" tells nothing: trainers write it for every variant.
_ORIGINS: Final = (
    ("de-turbo", re.compile(r"de[-_ ]?turbo|de[-_ ]?distill")),
    ("turbo", re.compile(r"turbo|z[-_ ]?image[-_ ]?t\b|(?<![a-z])zit(?![a-z])")),
    ("omni-base", re.compile(r"omni")),
    ("base", re.compile(r"z[-_ ]?image[-_ :]?base|tongyi-mai/z-image$|z_image_(?:bf|fp)\d")),
)
_ORIGIN_KEYS: Final = (
    "ss_sd_model_name", "modelspec.base_model", "base_model", "ss_base_model_version",
    "modelspec.architecture", "modelspec.title", "training_info", "ss_output_name", "name",
)  # fmt: skip
_WORD_KEYS: Final = (
    "modelspec.trigger_phrase",
    "ss_trigger_words",
    "trigger_word",
    "trigger_phrase",
)


def trained_for(lora: LoraFile) -> str | None:
    """Guess the variant that an adapter was trained on, from its metadata, then from its name.

    Return "turbo", "de-turbo", "base" or "omni-base"; None where nothing tells.
    """
    texts = [*(lora.header.metadata.get(key, "") for key in _ORIGIN_KEYS), lora.path.stem]
    for text in texts:
        said = text[:2000].lower()
        for origin, pattern in _ORIGINS:
            if pattern.search(said):
                return origin
    return None


def trigger_words(lora: LoraFile) -> tuple[str, ...]:
    """Return the words that wake an adapter: as stated, else the tags it was trained on most."""
    metadata = lora.header.metadata
    stated = (metadata.get(key, "") for key in _WORD_KEYS)
    words = [printable(word, MAX_WORD) for text in stated for word in text[:4000].split(",")]
    words = words if any(words) else list(_frequent_tags(metadata))
    return tuple(dict.fromkeys(word for word in words if word))[:MAX_WORDS]


def may_have_thumbnail(lora: LoraFile) -> bool:
    """Say whether something in an adapter or beside it says it is its picture; it is not read."""
    beside = (lora.path.with_suffix(ending) for ending in PICTURES)
    return bool(picture_text(lora)) or any(os.path.lexists(path) for path in beside)


def picture_text(lora: LoraFile) -> str:
    """Return what says it is a picture in an adapter's file, in base64; empty without one."""
    kind, _, text = lora.header.metadata.get("modelspec.thumbnail", "").partition(";base64,")
    right = kind.startswith("data:image/") and len(text) <= _MAX_PICTURE_TEXT
    return text if right else ""


def _frequent_tags(metadata: Mapping[str, str]) -> list[str]:
    """Return tags, the most frequent first, of {data set: {tag: count}} as trainers write it."""
    text = metadata.get("ss_tag_frequency", "").encode("utf-8", "replace")
    try:
        sets = strict_json.parse(text, "It", max_bytes=_MAX_TAGS_BYTES, max_depth=3)
    except FileRejected:
        return []
    counts = Counter[str]()
    for tags in sets.values() if isinstance(sets, dict) else ():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if isinstance(count, int):
                counts[printable(tag, MAX_WORD)] += count
    return [tag for tag, _ in counts.most_common(MAX_WORDS)]
