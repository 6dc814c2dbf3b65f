"""Saving steps, as data: which may be saved, and what it cost where it was measured."""

from __future__ import annotations

from typing import Final

FIRST_STEPS: Final = 3
"""Steps at the start that are always computed: there the picture finds its shape."""

LAST_STEPS: Final = 2
"""Steps at the end that are always computed: there it gets its details."""

ALWAYS_COMPUTED: Final = FIRST_STEPS + LAST_STEPS

MOST_IN_A_ROW: Final = 2
"""Steps in a row that may reuse one that was computed."""
