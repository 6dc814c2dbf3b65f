"""Patches are cut as the reference's image processor cuts them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from engine.images.patches import grid_of, patches_of
from engine.model.config import VisionConfig

SIZES = [(128, 128), (97, 211), (1024, 640), (33, 1000), (768, 769), (16, 16), (3000, 7)]


def noisy(width: int, height: int) -> Image.Image:
    levels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


@pytest.mark.parametrize("most", [64, 256])
@pytest.mark.parametrize("size", SIZES)
def test_patches_are_those_of_the_reference(size, most):
    picture = noisy(*size)
    ours, grid = patches_of(picture, VisionConfig(max_patches=most))
    processor = Siglip2ImageProcessorPil(patch_size=16, max_num_patches=most)
    theirs = processor(images=[picture], return_tensors="pt")
    assert tuple(theirs["spatial_shapes"][0].tolist()) == grid
    right = theirs["pixel_values"][0][: grid[0] * grid[1]].float()
    assert torch.allclose(ours[0], right, atol=1e-5)


def test_a_grid_never_holds_more_patches_than_allowed_nor_none():
    for width in (1, 15, 64, 500, 8192):
        for height in (1, 40, 333, 8192):
            rows, columns = grid_of(width, height, 16, 256)
            assert rows >= 1 and columns >= 1
            assert rows * columns <= 256 or 1 in (rows, columns)
