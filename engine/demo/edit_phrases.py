"""Every phrase an instruction is made of; braces mark what an instruction fills in."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

EDIT_PHRASES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "only": ("it", "the object", "the shape"),
        "the": ("the {colour} {shape}", "the {colour} {shape}", "the {shape}"),
        "the/full": ("the {colour} {shape}",),
        "recolour": (
            "make {the} {new}",
            "make {the} {new}",
            "change {the} to {new}",
            "turn {the} {new}",
            "paint {the} {new}",
            "color {the} {new}",
            "change the color of {the} to {new}",
            "recolor {the} {new}",
        ),
        "background": (
            "change the background to {ground}",
            "replace the background with {ground}",
            "put {the} on {ground}",
            "put {the} in front of {ground}",
            "use {ground}",
        ),
        "background/plain": (
            "make the background {colour}",
            "make the background {colour}",
            "change the background to {colour}",
            "turn the background {colour}",
            "paint the background {colour}",
            "change the color of the background to {colour}",
        ),
        "add": (
            "add {new} {place}",
            "add {new} {place}",
            "put {new} {place}",
            "draw {new} {place}",
            "place {new} {place}",
        ),
        "beside/left": ("on the left", "to the left of {the}", "left of {the}"),
        "beside/right": ("on the right", "to the right of {the}", "right of {the}"),
        "beside/top": ("at the top", "above {the}"),
        "beside/bottom": ("at the bottom", "below {the}", "under {the}"),
        "remove": (
            "remove {the}",
            "remove {the}",
            "delete {the}",
            "erase {the}",
            "take {the} away",
            "remove {the} from the picture",
        ),
        "replace": (
            "replace {the} with {new}",
            "replace {the} with {new}",
            "turn {the} into {new}",
            "change {the} into {new}",
            "change {the} to {new}",
            "swap {the} for {new}",
        ),
        "move": (
            "move {the} to {place}",
            "move {the} to {place}",
            "put {the} in {place}",
            "place {the} in {place}",
            "shift {the} to {place}",
        ),
        "to/center": ("the center", "the middle"),
        "to/left": ("the left", "the left side"),
        "to/right": ("the right", "the right side"),
        "to/top": ("the top",),
        "to/bottom": ("the bottom",),
        "to/top left": ("the top left", "the top left corner", "the upper left"),
        "to/top right": ("the top right", "the top right corner", "the upper right"),
        "to/bottom left": ("the bottom left", "the bottom left corner", "the lower left"),
        "to/bottom right": ("the bottom right", "the bottom right corner", "the lower right"),
        "resize": ("make {the} {size}", "change the size of {the} to {size}"),
        "grow": ("make {the} bigger", "make {the} larger", "enlarge {the}"),
        "grow/much": ("make {the} much bigger", "make {the} much larger"),
        "shrink": ("make {the} smaller", "shrink {the}", "make {the} smaller"),
        "shrink/much": ("make {the} much smaller",),
        "style/flat": (
            "make it flat",
            "make it a flat picture",
            "turn it into a flat picture",
            "change the style to flat",
        ),
        "style/watercolor": (
            "make it a watercolor",
            "make it a watercolor painting",
            "turn it into a watercolor",
            "turn the picture into a watercolor painting",
            "change the style to watercolor",
            "paint it as a watercolor",
        ),
        "style/pixel art": (
            "make it pixel art",
            "turn it into pixel art",
            "turn the picture into pixel art",
            "change the style to pixel art",
            "draw it as pixel art",
        ),
        "time/day": ("make it day", "change it to day", "turn {old} into day"),
        "time/sunset": ("make it sunset", "change it to sunset", "turn {old} into sunset"),
        "time/night": ("make it night", "change it to night", "turn {old} into night"),
        "combine": (
            "the {object} of picture {giver} on the background of picture {taker}",
            "put the {object} of picture {giver} on the background of picture {taker}",
            "put the {object} from picture {giver} on the background of picture {taker}",
            "on the background of picture {taker}, the {object} of picture {giver}",
        ),
        "object": ("object", "object", "object", "shape", "{shape}", "{colour} {shape}"),
    }
)
