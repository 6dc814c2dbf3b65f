"""What becomes of a prompt before it is read: its word lists, its choices, its tokens."""

from __future__ import annotations

from engine.prompts.reading import MOST_TOKENS, TRAINED_TOKENS, Reading, read_prompt
from engine.prompts.wildcards import Expansion, Wildcards

__all__ = [
    "MOST_TOKENS",
    "TRAINED_TOKENS",
    "Expansion",
    "Reading",
    "Wildcards",
    "read_prompt",
]
