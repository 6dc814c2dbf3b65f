"""What becomes of a prompt before it is read: its word lists, its choices, its tokens."""

from __future__ import annotations

from engine.prompts.reading import Reading, read_prompt
from engine.prompts.wildcards import Expansion, Wildcards

__all__ = ["Expansion", "Reading", "Wildcards", "read_prompt"]
