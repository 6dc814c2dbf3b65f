"""The options of `app.py edit` and `app.py inpaint` about pictures and masks."""

from __future__ import annotations

import argparse
import re
from typing import Any

from engine.request import MAX_CONTEXT, MAX_FEATHER, Fill, Region, Request, Task

_EXTENSION = re.compile(r"(\d{1,6}),(\d{1,6}),(\d{1,6}),(\d{1,6})")


def add_edit_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which pictures to change."""
    add = parser.add_argument
    add("--image", dest="images", metavar="IMG", action="append", required=True,
        help="picture to change; up to three with a model that edits by instruction")  # fmt: skip
    add("--strength", metavar="S", type=float,
        help="with other models: 1 = ignore the picture, 0 = keep it; default 0.6")  # fmt: skip


def add_inpaint_options(parser: argparse.ArgumentParser) -> None:
    """Add what says where to repaint a picture, and how."""
    default = Request(prompt="")
    add = parser.add_argument
    add("--image", dest="images", metavar="IMG", action="append", required=True,
        help="picture to repaint")  # fmt: skip
    add("--mask", metavar="MASK",
        help="picture that is white where to repaint; resized to the size of the other, whose "
        "shape it must have")  # fmt: skip
    add("--strength", metavar="S", type=float,
        help="1 = ignore what is under the mask, 0 = keep it; default 1")  # fmt: skip
    add("--feather", metavar="PX", type=int, default=default.feather,
        help=f"pixels blended around the mask, 0 to {MAX_FEATHER}; "
        f"default {default.feather}")  # fmt: skip
    add("--fill", metavar="F", default=default.fill.value,
        help=f"what lies under the mask at first: {', '.join(Fill)}")  # fmt: skip
    add("--fill-colour", metavar="#RRGGBB", default=default.fill_colour, help="of --fill colour")
    add("--soft", action="store_true", help="grey of the mask is repainted from a later step on")
    add("--masked-only", action="store_true",
        help="crop to the mask, paint that at the model's best size, and put it back")  # fmt: skip
    add("--context", metavar="PX", type=int, default=default.context,
        help=f"pixels around the mask that are cropped too, 0 to {MAX_CONTEXT}")  # fmt: skip
    add("--extend", metavar="L,T,R,B", type=_extension, default=default.extend,
        help="pixels to add at the left, top, right and bottom")  # fmt: skip
    add("--region", dest="regions", metavar=("PROMPT", "MASK"), nargs=2, action="append",
        default=[], help="a mask with a prompt of its own; may be repeated")  # fmt: skip


def picture_values(options: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of a request that a painting command takes about pictures."""
    match options.command:
        case "edit":
            return {"images": options.images, "strength": options.strength}
        case "inpaint":
            names = ("mask", "strength", "feather", "fill", "fill_colour", "soft", "masked_only",
                     "context", "extend", "images")  # fmt: skip
            values = {name: getattr(options, name) for name in names}
            regions = tuple(Region(prompt, mask) for prompt, mask in options.regions)
            return {**values, "regions": regions, "task": Task.INPAINT}
        case _:
            return {}


def _extension(text: str) -> tuple[int, ...]:
    match = _EXTENSION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not four numbers such as 0,0,256,0")
    return tuple(map(int, match.groups()))
