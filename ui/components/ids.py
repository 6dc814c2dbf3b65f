"""Names of a tab's components: several tabs hold the same parts, and each part is told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

MAIN: Final = "generate"
"""The tab whose parts bear plain names."""


@dataclass(frozen=True, slots=True)
class Ids:
    """Makes the names of the components of one tab."""

    tab: str = MAIN

    def __call__(self, name: str) -> str:
        """Return the id of a part: `prompt` in the main tab, `edit-prompt` in the tab `edit`."""
        return name if self.tab == MAIN else f"{self.tab}-{name}"

    def mark(self, name: str, *classes: str) -> dict[str, Any]:
        """Return id and classes of a part for Gradio; `z-prompt` marks it in every tab."""
        return {"elem_id": self(name), "elem_classes": [f"z-{name}", *classes]}
