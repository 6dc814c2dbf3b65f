"""Repainting parts of a picture: a window on it is painted, and laid back over it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from engine.events import Outside
from engine.images.feather import changed, lay_over, ramp
from engine.images.fit import Box, Size, extent, grown
from engine.images.pixels import image_of, mirrored, pixels_of
from engine.model.config import LATENT_SCALE
from engine.sampling.known import Known
from engine.tasks.procedure import Encode, Finished


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a picture that is painted, and the size it is painted at.

    Where the box is the whole picture, it is filled up at the right and the bottom; else scaled.
    """

    box: Box
    size: Size
    scales: bool

    def of_picture(self, picture: Image.Image) -> Tensor:
        """Return the part of an RGB picture as it is painted over, [H, W, 3] uint8."""
        part = picture.crop(self.box)
        if self.scales:
            return pixels_of(part.resize(self.size, Image.Resampling.LANCZOS))
        right, bottom = (most - side for most, side in zip(self.size, part.size, strict=True))
        return mirrored(pixels_of(part), (0, 0, right, bottom))

    def levels(self, mask: Image.Image, *, soft: bool) -> Tensor:
        """Return the part of a grey mask by latent cells, [1, 1, h, w] float32 in 0..1.

        A cell takes the top left pixel of its 8 x 8, as the reference does; but where no such pixel
        is white, the lightest one.
        """
        part = mask.crop(self.box)
        if self.scales:
            how = Image.Resampling.BILINEAR if soft else Image.Resampling.NEAREST
            part = part.resize(self.size, how)
        filled = Image.new("L", self.size)
        filled.paste(part)
        pixels = pixels_of(filled)[None, None, :, :, 0].float() / 255
        levels = pixels[..., ::LATENT_SCALE, ::LATENT_SCALE].contiguous()
        return levels if levels.any() else torch.nn.functional.max_pool2d(pixels, LATENT_SCALE)

    def back(self, painted: Tensor) -> Tensor:
        """Return what was painted, [H, W, 3] uint8, at the size of the box."""
        width, height = extent(self.box)
        if not self.scales:
            return painted[:height, :width]
        return pixels_of(image_of(painted).resize((width, height), Image.Resampling.LANCZOS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Inpaint:
    """Inpaint and outpaint.

    picture: RGB, with the margins that it is extended by. filled: the same with what lies under the
    mask at first. mask: grey, white where to repaint; regions: those of prompts of their own.
    feather: pixels around the mask over which old and new are blended.
    """

    picture: Image.Image
    filled: Image.Image
    mask: Image.Image
    regions: tuple[Image.Image, ...]
    window: Window
    feather: int
    soft: bool
    references: tuple[Image.Image, ...] = ()

    @property
    def weights(self) -> Tensor | None:
        """How much each prompt counts in each cell, [K, 1, h, w]; the first is the job's own."""
        if not self.regions:
            return None
        levels = [self.window.levels(mask, soft=self.soft)[0] for mask in self.regions]
        claimed = torch.stack(levels)
        total = claimed.sum(0, keepdim=True)
        return torch.cat([(1 - total).clamp_min(0), claimed]) / total.clamp_min(1)

    def prepare(self, encode: Encode) -> Known:
        """Begin with the window; cells outside the mask are held."""
        latents = encode(self.window.of_picture(self.filled))
        return Known(latents, self.window.levels(self.mask, soft=self.soft))

    def finish(self, painted: Tensor) -> Finished:
        """Lay the painted window [H, W, 3] uint8 over the picture, inside the feathered mask."""
        before = pixels_of(self.picture)
        after, is_free = before.clone(), torch.zeros(before.shape[:2], dtype=torch.bool)
        left, top, right, bottom = self._touched()
        rows, columns = slice(top, bottom), slice(left, right)
        mask = pixels_of(self.mask)[rows, columns, 0] > 0
        share = ramp(mask, self.feather)
        here_left, here_top = left - self.window.box[0], top - self.window.box[1]
        new = self.window.back(painted)
        new = new[here_top : here_top + bottom - top, here_left : here_left + right - left]
        after[rows, columns] = lay_over(before[rows, columns], new, share)
        is_free[rows, columns] = share > 0
        is_outside = ~is_free
        count = changed(before, after, is_outside)
        return after, Outside(changed=count, pixels=int(is_outside.sum()))

    def still(self) -> Finished:
        """Return the picture with its margins."""
        width, height = self.picture.size
        return pixels_of(self.picture), Outside(changed=0, pixels=width * height)

    def _touched(self) -> Box:
        """Return the box around the feathered mask."""
        white = self.mask.getbbox() or self.window.box
        return grown(white, self.feather, self.picture.size)
