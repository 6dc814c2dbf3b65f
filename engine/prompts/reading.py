"""How a prompt is read: its tokens, and what becomes of more of them than a model can take."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from engine.request import LongPrompt

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TEMPLATE: Final = ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
"""What stands before and after a prompt; its tokens count too."""

TRAINED_TOKENS: Final = 512
"""How many tokens the models were trained to read."""

MOST_TOKENS: Final = 1504
"""How many a model can take at all: its position table has 1536 rows, filled by whole 32."""

LIMITS: Final[Mapping[LongPrompt, int]] = MappingProxyType(
    {
        LongPrompt.CUT: TRAINED_TOKENS,
        LongPrompt.SENTENCE: TRAINED_TOKENS,
        LongPrompt.FULL: MOST_TOKENS,
    }
)

_SENTENCE = re.compile(r"[.!?…][\"'”’)\]]*(?=\s)|[。！？；][”’」』）]*|\n")  # noqa: RUF001
_WORD = re.compile(r"\S(?=\s)")
_QUOTED: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """ids: the tokens that are read. total: those of the whole prompt. left_out: words not read."""

    ids: tuple[int, ...]
    total: int
    left_out: str = ""

    @property
    def notice(self) -> str | None:
        """What the user should know of it; None where all is as the model was trained."""
        if self.total <= TRAINED_TOKENS:
            return None
        if len(self.ids) == self.total:
            return (
                f"The prompt has {self.total} tokens, and all are read; the model was trained on "
                f"at most {TRAINED_TOKENS}."
            )
        said = f"The prompt has {self.total} tokens; only the first {len(self.ids)} are read."
        left_out = _clip(self.left_out)
        return f"{said} Left out: “{left_out}”." if left_out else said


def read_prompt(
    tokenizer: Tokenizer,
    prompt: str,
    way: LongPrompt = LongPrompt.CUT,
    template: Sequence[str] = TEMPLATE,
) -> Reading:
    """Return the tokens of a prompt in its template, shortened as `way` says.

    A cut drops the end of the template too, as the reference does; an end at a sentence keeps it.
    Where not even one sentence fits, whole words are kept, and else tokens.
    """
    before, after = template
    limit = LIMITS[way]
    encoded = tokenizer.encode(before + prompt + after)
    total = len(encoded.ids)
    if total <= limit:
        return Reading(ids=tuple(encoded.ids), total=total)

    def ids_up_to(end: int) -> list[int]:
        return list(tokenizer.encode(before + prompt[:end] + after).ids)

    if way is LongPrompt.SENTENCE:
        for pattern in (_SENTENCE, _WORD):
            ends = [found.end() for found in pattern.finditer(prompt)]
            end = _last_fitting(ends, lambda end: len(ids_up_to(end)) <= limit)
            if end:
                left_out = prompt[end:].strip()
                return Reading(ids=tuple(ids_up_to(end)), total=total, left_out=left_out)
    end = max(0, encoded.offsets[limit][0] - len(before))
    return Reading(ids=tuple(encoded.ids[:limit]), total=total, left_out=prompt[end:])


def _last_fitting(ends: Sequence[int], fits: Callable[[int], bool]) -> int:
    """Return the last of rising ends that fits, 0 where none does."""
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        if fits(ends[middle]):
            low = middle + 1
        else:
            high = middle
    return ends[low - 1] if low else 0


def _clip(text: str) -> str:
    words = " ".join(text[: 4 * _QUOTED].split())
    return words if len(words) <= _QUOTED else f"{words[: _QUOTED - 1].rstrip()}…"
