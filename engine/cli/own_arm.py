"""A child process that paints with this program, one order a line, and reports on each."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from engine.cli.peer_arm import Painter, Report, serve
from engine.jobs.order import Hooks, Order, Output
from engine.memory.probe import hardware
from engine.memory.studio import Studio
from engine.request import Precision, Request
from engine.run import execute


def painter(config: dict[str, Any], folder: Path) -> Painter:
    """Return what carries out orders as jobs; pictures and caches go to a folder."""
    studio, machine = Studio(), hardware()
    quiet = Hooks(emit=lambda _: None, warn=lambda _: None, cancelled=lambda: False)

    def paint(order: dict[str, Any]) -> Report:
        latents = order.get("latents")
        job = Order(
            job="bench",
            request=_request(config, order),
            output=Output(folder=folder, latents=Path(latents) if latents else None),
            data_dir=folder,
            vram_gb=config["limit_gb"],
        )
        result = execute(job, studio, quiet, machine)
        return {
            "nfe": result.nfe,
            "stages": result.seconds,
            "plan": result.plan,
            "warnings": result.warnings,
        }

    return paint


def _request(config: dict[str, Any], order: dict[str, Any]) -> Request:
    return Request(
        prompt=order["prompt"],
        model=config["folder"],
        seed=order["seed"],
        steps=order["steps"],
        guidance_scale=order["guidance"],
        width=order["width"],
        height=order["height"],
        count=order["count"],
        precision=Precision(config["precision"]),
        device=config["device"],
    )


def main(config: dict[str, Any]) -> None:
    """Serve the orders of standard input; whatever else is printed goes to standard error."""
    reports = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with tempfile.TemporaryDirectory() as folder, reports:
        serve(painter(config, Path(folder)), config["device"], sys.stdin, reports)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
