"""Draws any scene of the Demo world as a picture tensor."""

from __future__ import annotations

import random

import torch
from PIL import Image

from engine.demo.edits import Sketch
from engine.demo.scenes import Scene, ShapeScene
from engine.demo.shapes import SUPERSAMPLING, draw_shape_scene, draw_shapes
from engine.demo.styles import pixel_art, watercolour
from engine.demo.world import draw_world_scene


def draw(scene: Scene, width: int, height: int, rng: random.Random) -> torch.Tensor:
    """Draw a scene; the same state of `rng` gives the same picture.

    Colours, places and angles vary a little with `rng`. Sides are multiples of 16.
    Returns [3, H, W] uint8, 0 to 255.
    """
    if width < 16 or height < 16 or width % 16 or height % 16:
        message = f"A scene is drawn at multiples of 16 pixels, not at {width}x{height}."
        raise ValueError(message)
    if isinstance(scene, ShapeScene):
        return to_tensor(draw_shape_scene(scene, width, height, rng))
    flat = draw_world_scene(scene, width, height, rng)
    match scene.style:
        case "flat":
            return to_tensor(flat.reduce(SUPERSAMPLING))
        case "watercolor":
            return watercolour(to_tensor(flat.reduce(SUPERSAMPLING)), rng)
        case "pixel art":
            return to_tensor(pixel_art(flat, width, height))


def draw_sketch(sketch: Sketch, width: int, height: int) -> torch.Tensor:
    """Draw a scene with the random numbers that its sketch holds; [3, H, W] uint8, 0 to 255."""
    scene = sketch.scene
    if not isinstance(scene, ShapeScene):
        return draw(scene, width, height, random.Random(sketch.seeds[0]))  # noqa: S311 (a drawing)
    drawn = draw_shapes(scene, sketch.seeds, (width, height), crowded=sketch.crowded)
    return to_tensor(drawn)


def to_tensor(picture: Image.Image) -> torch.Tensor:
    """Copy an RGB picture into a tensor [3, H, W] uint8."""
    flat = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return flat.view(picture.height, picture.width, 3).permute(2, 0, 1).contiguous()
