"""Step saving: a step that begins like the one before is taken to go on like it, too.

After the first main block its change of the tokens is compared with that of the last step that was
computed. Where they are near, the other blocks are left out and what they added then is added
again. (First-block caching; the redundancy between steps that it lives on: arXiv 2411.19108.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.variants.step_saving import FIRST_STEPS, LAST_STEPS, MOST_IN_A_ROW


class StepCache:
    """Decides for one batch and one schedule which steps reuse most of an earlier one.

    threshold: mean absolute difference, relative to the mean absolute change, below which a step
    is near. Two tensors of joint tokens are kept.
    """

    def __init__(self, threshold: float, steps: int) -> None:
        self.skipped: tuple[int, ...] = ()
        """The steps, from 0, that reused what an earlier one computed."""
        self._threshold = threshold
        self._allowed = range(FIRST_STEPS, steps - LAST_STEPS)
        self._kept: tuple[Tensor, Tensor] | None = None
        self._in_a_row = 0

    def reuse(self, change: Tensor, step: int) -> Tensor | None:
        """Return what the other blocks are taken to add, [G, T, D].

        None if they must compute; `keep` then belongs to the step.
        change: what the first block added to the tokens at `step`, [G, T, D]; compared in one
        piece, so that both branches of guidance go the same way. Reads one number from the device.
        """
        kept = self._kept
        if kept is not None and self._may(step) and self._is_near(change, kept[0]):
            self._in_a_row += 1
            self.skipped = (*self.skipped, step)
            return kept[1]
        # Let go before the other blocks compute, which need the memory.
        self._kept = None
        return None

    def keep(self, change: Tensor, rest: Tensor) -> None:
        """Keep what a computed step's first block and its other blocks added, [G, T, D] each."""
        self._kept = change, rest
        self._in_a_row = 0

    def _may(self, step: int) -> bool:
        return step in self._allowed and self._in_a_row < MOST_IN_A_ROW

    def _is_near(self, change: Tensor, before: Tensor) -> bool:
        """Compare two changes [G, T, D]; where guidance ends, the tokens are half as many."""
        return before.shape == change.shape and _distance(change, before) < self._threshold


def _distance(change: Tensor, before: Tensor) -> float:
    """Return the mean absolute difference of [G, T, D] tensors relative to that of `before`.

    Sums are float32. Not a number where it cannot be told.
    """
    difference = (change - before).abs_().sum(dtype=torch.float32)
    return float(difference / before.abs().sum(dtype=torch.float32))
