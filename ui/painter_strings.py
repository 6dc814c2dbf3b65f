"""Every sentence of the mask painter and of the Inpaint tab."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

AREA: Final = "Picture to paint on"
KEYS_TITLE: Final = "Keys"
KEYS: Final[tuple[tuple[str, str], ...]] = (
    ("B  E", "brush, eraser"),
    ("L  R  H", "lasso, box, move"),
    ("[  ]", "smaller, larger brush"),
    ("X  or  Alt", "erase instead of paint"),
    ("Arrows", "move the cross (Shift: far, Alt: one pixel)"),
    ("Enter", "put the brush down, lift it"),
    ("Ctrl Z  Y", "undo, redo"),
    ("Ctrl A  I  Del", "paint all, invert, clear"),
    ("G  S", "grow, shrink"),
    ("+  −  0  9", "larger, smaller, all of it, true size"),
    ("1 to 4", "colour"),
    ("Ctrl arrows, Space", "move the picture"),
)
DROP: Final = "Drop a picture here, paste one, or click to choose"
DROP_HINT: Final = "Then paint over what should change."
TOOLS: Final = "Painting tools"
TOOL_NAMES: Final[Mapping[str, str]] = {
    "brush": "Brush (B)",
    "lasso": "Lasso (L)",
    "box": "Box (R)",
    "hand": "Move the picture (H)",
}
ERASE: Final = "Erase (E)"
SIZE: Final = "Size"
SIZE_OF: Final = "Brush size in pixels"
SOFT: Final = "Soft"
SOFT_OF: Final = "Softness of the brush in percent"
UNDO: Final = "Undo (Ctrl Z)"
REDO: Final = "Redo (Ctrl Y)"
ZOOM_IN: Final = "Larger (+)"
ZOOM_OUT: Final = "Smaller (−)"
ZOOM_FIT: Final = "All of it (0)"
ZOOM_EXACT: Final = "True size (9)"
ACTIONS: Final[tuple[tuple[str, str, str], ...]] = (
    ("all", "All", "Paint the whole picture"),
    ("invert", "Invert", "Swap painted and unpainted"),
    ("grow", "Grow", "Widen what is painted"),
    ("shrink", "Shrink", "Narrow what is painted"),
)
AMOUNT: Final = "Pixels to grow or shrink by"
CLEAR: Final = "Clear"
CLEAR_OF: Final = "Erase everything of this colour"
LOAD: Final = "Load mask"
LOAD_OF: Final = "A picture that is white where to repaint"
SAVE: Final = "Save mask"
REMOVE: Final = "Take the picture away"
LAYERS: Final = "Colours, each with a prompt of its own"
LAYER: Final = "Colour {}"
LAYER_PROMPT: Final = "Prompt for this colour alone"
LAYER_PROMPT_HINT: Final = "What to paint here, if not what the main prompt says"
EXTEND: Final = "Extend the picture"
EXTEND_INFO: Final = "Adds room on any side, to be painted anew."
SIDES: Final[Mapping[str, str]] = {
    "left": "Left",
    "top": "Top",
    "right": "Right",
    "bottom": "Bottom",
}
RATIO: Final = "To a shape"
RATIOS: Final[tuple[tuple[str, str], ...]] = (
    ("", "As it is"),
    ("1:1", "Square 1:1"),
    ("4:3", "Landscape 4:3"),
    ("3:4", "Portrait 3:4"),
    ("16:9", "Wide 16:9"),
    ("9:16", "Tall 9:16"),
)

WORDS: Final[Mapping[str, str]] = {
    "nothing": "nothing is painted yet",
    "painted": "{} % painted",
    "extended": "the new border is painted",
    "missing": "There is no picture yet. Drop one above, or send one from a result.",
    "unpainted": "Nothing is painted: paint over what should change, or extend the picture.",
    "unreadable": "This picture cannot be read. Give a PNG, JPEG or WEBP file.",
    "large": "This picture has {} pixels, more than 32 million. Give a smaller one.",
    "sending": "Sending …",
    "unsent": "The picture could not be sent. Is the program still running?",
    "misshapen": "The mask is {}, but the picture is {}, another shape. Give one of its shape.",
    "resized": "The mask was {} and has been resized to {}.",
}
"""What the browser says by itself; {} stands for a number or a size."""

BAD_MASK: Final = "The mask that the browser sent cannot be read."
BAD_MASK_ACTION: Final = "Load the page again."


def mask_size(mask: tuple[int, int], picture: tuple[int, int]) -> str:
    """Say that a mask has not the size of its picture."""
    return (
        f"The mask is {mask[0]} × {mask[1]}, but the picture is {picture[0]} × {picture[1]} pixels."
    )


INPAINT: Final = "Inpaint"
PROMPT: Final = "What should be there instead?"
PROMPT_HINT: Final = "a straw hat with a red ribbon"
REPAINT: Final = "Repaint"
INVITATION: Final = "Paint over a part, describe it, then press Repaint."
STRENGTH: Final = "Strength"
STRENGTH_INFO: Final = "At 1 what was there is forgotten; at 0 it stays."
FEATHER: Final = "Soft edge"
FEATHER_INFO: Final = "Pixels outward from the mask, in which old and new blend."
FILL: Final = "Begin with"
FILL_INFO: Final = "What lies under the mask before it is repainted."
FILLS: Final[Mapping[str, str]] = {
    "original": "What is there",
    "noise": "Noise",
    "blur": "Its surroundings",
    "colour": "A colour",
}
FILL_COLOUR: Final = "Colour to begin with"
MASKED_ONLY: Final = "Only the masked part, enlarged"
MASKED_ONLY_INFO: Final = (
    "Paints it at the model's best size, and puts it back: more detail in small places."
)
CONTEXT: Final = "Pixels around it"
CONTEXT_INFO: Final = "How much of the surroundings the model sees."
SOFT_MASK: Final = "Soft inpainting"
SOFT_MASK_INFO: Final = (
    "Where the mask is grey, less is changed. Otherwise half grey counts as painted."
)
NO_PAINT: Final = "Paint over what should change, or extend the picture."


def outside(changed: int, pixels: int) -> str:
    """Say what became of the pixels outside the mask."""
    if not changed:
        return f"Nothing outside the mask changed ({pixels:,} pixels)"
    return f"{changed:,} of {pixels:,} outside pixels changed"
