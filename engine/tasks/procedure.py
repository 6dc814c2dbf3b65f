"""What every task does before the steps and after them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from PIL import Image
from torch import Tensor

from engine.events import Outside
from engine.sampling.known import Known

Encode = Callable[[Tensor], Tensor]
"""Gives the latents [1, 16, h, w] float32 of a picture [H, W, 3] uint8."""

Finished = tuple[Tensor, Outside | None]
"""A picture [H, W, 3] uint8, and how what lies outside the mask fared, where there is one."""


class Procedure(Protocol):
    """One task of one job, with the pictures that it begins with."""

    @property
    def references(self) -> tuple[Image.Image, ...]:
        """The RGB pictures that are read along with the prompt."""
        ...

    @property
    def weights(self) -> Tensor | None:
        """How much each prompt counts in each cell, [K, 1, h, w]; None where there is one."""
        ...

    def prepare(self, encode: Encode) -> Known | None:
        """Return what is known of the picture: where it begins, and what holds after each step."""
        ...

    def finish(self, painted: Tensor) -> Finished:
        """Make the picture to save of one that was painted, [H, W, 3] uint8."""
        ...

    def still(self) -> Finished:
        """Return the picture of strength 0: the input's own pixels."""
        ...


@dataclass(frozen=True, slots=True)
class FromWords:
    """Text to image, and edit by instruction: nothing is known of the picture but words.

    references: pictures that are read along with them.
    """

    references: tuple[Image.Image, ...] = ()
    weights: None = None

    def prepare(self, encode: Encode) -> Known | None:
        """Begin with noise."""
        return None

    def finish(self, painted: Tensor) -> Finished:
        """Return the painted picture [H, W, 3] uint8 as it is."""
        return painted, None

    def still(self) -> Finished:
        """Raise `TypeError`: there is no such picture."""
        raise TypeError("a picture made of words has no input")


@dataclass(frozen=True, slots=True)
class Redraw:
    """Image to image: begins with a picture [H, W, 3] uint8 under noise."""

    picture: Tensor
    references: tuple[Image.Image, ...] = ()
    weights: None = None

    def prepare(self, encode: Encode) -> Known:
        """Begin with the picture; all of it may change."""
        return Known(encode(self.picture))

    def finish(self, painted: Tensor) -> Finished:
        """Return the painted picture [H, W, 3] uint8 as it is."""
        return painted, None

    def still(self) -> Finished:
        """Return the picture."""
        return self.picture, None
