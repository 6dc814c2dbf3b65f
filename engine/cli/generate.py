"""`app.py generate`, `edit` and `inpaint`: paint pictures from words, and from others."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from engine.cli.files import check_file
from engine.cli.options import request_of
from engine.cli.terminal import progress, say, warn
from engine.errors import BadRequest, Cancelled, from_report
from engine.events import Done, Failed, JobEvent, Picture, Progress, Result, Warned
from engine.jobs.order import Output
from engine.service import Engine
from engine.settings import Settings, with_folders

PICTURES: Final = (".png", ".webp", ".jpg", ".jpeg")
"""Ends of a picture's name, each of which says how it is written."""


def generate(options: argparse.Namespace) -> int:
    """Paint what the options ask for and say where the pictures lie."""
    request = request_of(options)
    settings = replace(
        with_folders(options.data_dir), vram_gb=options.vram, profile=options.profile
    )
    output = _output(options, settings, request.count)
    with Engine(settings) as engine:
        result = _follow(engine, engine.submit(request, output))
    for picture in result.pictures:
        say(_as_json(picture, result) if options.json else str(picture.path))
    return 0


def _output(options: argparse.Namespace, settings: Settings, count: int) -> Output:
    """Return where the pictures go; raise before anything is painted if they cannot go there."""
    latents: Path | None = options.save_latents
    if latents is not None:
        _check_suffix(latents, (".safetensors",), "--save-latents")
        check_file(latents, "--save-latents")
    out: Path | None = options.out
    if out is None:
        return Output(folder=settings.output_folder, latents=latents)
    _check_suffix(out, PICTURES, "-o")
    output = Output(folder=out.parent, name=out.name, latents=latents)
    for name in output.file_names(count) or ():
        check_file(output.folder / name, "-o")
    return output


def _check_suffix(path: Path, suffixes: Sequence[str], option: str) -> None:
    if path.suffix.lower() not in suffixes:
        raise BadRequest(
            f"{option} {str(path)!r:.200} does not end in {' or '.join(suffixes)}.",
            f"Name it NAME{suffixes[0]}.",
        )


def _follow(engine: Engine, job: str) -> Result:
    """Tell what a job tells until it ends; return its result or raise its error."""
    for event in engine.events(job):
        match event:
            case Warned(message=message):
                warn(message)
            case Progress():
                progress(_in_words(event))
            case Done(result=result):
                progress("")
                return result
            case Failed(error=error):
                raise from_report(error)
            case JobEvent():
                pass
    raise Cancelled("The job was cancelled.")


def _in_words(event: Progress) -> str:
    count = f" {event.step} of {event.total}" if event.total else ""
    left = f", {event.eta:.0f} s left" if event.eta else ""
    return f"{event.stage}{count}{left}"


def _as_json(picture: Picture, result: Result) -> str:
    request = picture.recipe["request"]
    if not isinstance(request, dict):
        raise TypeError("a recipe holds its request")
    return json.dumps(
        {
            "path": str(picture.path),
            "seed": request["seed"],
            "model": request["model"],
            "precision": result.precision,
            "steps": request["steps"],
            "nfe": result.nfe,
            "skipped": result.skipped,
            "seconds": {stage: round(value, 4) for stage, value in result.seconds.items()},
            "peak_memory": round(result.peak_memory, 3),
            "plan": result.plan,
            "outside": picture.outside and asdict(picture.outside),
            "warnings": result.warnings,
        }
    )
