"""`app.py convert`: a model's weights as bfloat16 or int8."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.cli.terminal import progress, say
from engine.request import Precision

_OFFERED = (Precision.BF16.value, Precision.INT8.value)


def add_convert_options(parser: argparse.ArgumentParser) -> None:
    """Add what `convert` takes."""
    add = parser.add_argument
    add("source", metavar="SRC", type=Path, help="a model's file or folder")
    add("goal", metavar="DST", type=Path, help="the file or folder to write")
    add("--precision", metavar="P", choices=_OFFERED, required=True, help=" or ".join(_OFFERED))
    add("--force", action="store_true", help="replace what is there")


def run(options: argparse.Namespace) -> int:
    """Convert a model, and print where it lies."""
    # Not above: the options are known without PyTorch.
    from engine.checkpoints.convert import Conversion, convert

    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        progress(f"weight {count}")

    goal = options.goal.absolute()
    convert(
        Conversion(
            source=options.source,
            goal=goal,
            int8=options.precision == Precision.INT8,
            force=options.force,
            data=options.data_dir,
            on_tensor=tick,
        )
    )
    progress("")
    say(str(goal))
    return 0
