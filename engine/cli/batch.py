"""`app.py batch`: takes many pictures through one prompt, or through the steps of another."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.chains import trace
from engine.cli.options import request_of
from engine.cli.terminal import complain, progress, say, warn
from engine.errors import BadRequest, ErrorReport
from engine.inputs import Inputs, find_input
from engine.request import Request
from engine.service import Engine
from engine.service.batch import CONTACT_SHEET, list_pictures, plan_batch
from engine.service.series import ItemReport, ItemState, Series, SeriesReport
from engine.settings import with_folders
from engine.storage import check_writable

_BESIDE_A_CHAIN = frozenset({"device", "precision", "model"})
"""A recipe names a model that lay anywhere by its last name alone."""
_OVER = frozenset({ItemState.DONE, ItemState.FAILED})


def batch(options: argparse.Namespace) -> int:
    """Paint what the options ask for, say where each picture lies, and return the exit code.

    What fails is a warning and does not stop the rest; it makes the exit code 2, or 1 for a bug.
    """
    settings = replace(
        with_folders(options.data_dir), vram_gb=options.vram, profile=options.profile
    )
    pictures = _pictures(options.pictures)
    sheet = None if options.no_sheet else CONTACT_SHEET
    steps = _steps(options, settings.data_dir)
    plan = plan_batch(pictures, steps, options.out, options.format.suffix, sheet)
    check_writable(options.out)
    with Engine(settings) as engine:
        report = Series(engine, plan).run(_Teller(pictures, as_json=options.json).tell)
    progress("")
    if report.sheet_error is not None:
        warn(str(report.sheet_error))
    if report.sheet is not None and not options.json:
        say(str(report.sheet.absolute()))
    return _judge(report)


def _pictures(given: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files that are meant, those of folders by name; raise for a folder without any."""
    found: list[Path] = []
    for path in given:
        inside = list_pictures(path) if path.is_dir() else (path,)
        if not inside:
            raise BadRequest(
                f"The folder {str(path)!r:.200} holds no picture.", "Give PNG, JPEG or WEBP files."
            )
        found.extend(inside)
    return tuple(found)


def _steps(options: argparse.Namespace, data_dir: Path) -> tuple[Request, ...]:
    """Return what each picture is taken through; raise an error of the tree."""
    if options.count != 1 or options.save_latents is not None:
        name = "--save-latents" if options.count == 1 else "--count"
        raise BadRequest(f"batch takes no {name}.", "It makes one picture of each.")
    if options.chain is None:
        return (request_of(options).with_values(strength=options.strength),)
    _refuse_settings(options)
    inputs = Inputs(data_dir)
    name = inputs.keep(find_input(str(options.chain), data_dir))
    replayed = trace(name, inputs).replay(name)
    changes = {"device": options.device, "precision": options.precision}
    if options.model != Request(prompt="").model:
        changes["model"] = options.model
    return tuple(step.with_values(**changes) for step in replayed)


def _refuse_settings(options: argparse.Namespace) -> None:
    """Raise `BadRequest` for settings that the steps of a chain bring along."""
    options.prompt = ""
    asked = request_of(options).with_values(strength=options.strength).to_json()
    plain = Request(prompt="").to_json()
    given = [name for name in asked if asked[name] != plain[name] and name not in _BESIDE_A_CHAIN]
    if given:
        raise BadRequest(
            f"--chain replays steps with their own settings, but {', '.join(given)} was given.",
            "Leave it out, or give --prompt instead.",
        )


class _Teller:
    """Tells of each picture once it is done, and of what failed."""

    def __init__(self, pictures: tuple[Path, ...], *, as_json: bool) -> None:
        self._pictures = pictures
        self._as_json = as_json
        self._told: set[int] = set()

    def tell(self, report: SeriesReport) -> None:
        """Tell what is new in a report."""
        for index, item in enumerate(report.items):
            if item.state in _OVER and index not in self._told:
                self._told.add(index)
                self._tell_one(self._pictures[index], item)
        progress(_in_words(report))

    def _tell_one(self, source: Path, item: ItemReport) -> None:
        if item.error is not None:
            warn(f"{item.label}: {item.error}")
        if self._as_json:
            say(json.dumps(_as_json(source, item)))
        elif item.picture is not None and item.error is None:
            say(str(item.picture.path))


def _in_words(report: SeriesReport) -> str:
    over = len(report.items) - report.count(ItemState.WAITING) - report.count(ItemState.RUNNING)
    item = report.running
    if item is None or item.progress is None:
        return f"{over} of {len(report.items)}"
    step = item.progress
    counted = f" {step.step} of {step.total}" if step.total else ""
    return f"{over} of {len(report.items)}: {item.label}, {step.stage}{counted}"


def _as_json(source: Path, item: ItemReport) -> dict[str, object]:
    """Return an item as JSON values; path is None where it failed, and error where it did not."""
    done = item.picture if item.state is ItemState.DONE else None
    request = done.recipe["request"] if done else {}
    values = request if isinstance(request, dict) else {}
    return {
        "source": str(source.absolute()),
        "path": str(done.path.absolute()) if done else None,
        "seed": values.get("seed"),
        "model": values.get("model"),
        "steps": item.steps,
        "error": str(item.error) if item.error else None,
    }


def _judge(report: SeriesReport) -> int:
    """Return the exit code, and say on the last line if anything failed."""
    faults = [item.error for item in report.items if item.error is not None]
    if not faults:
        return 0
    worst = min(fault.exit_code for fault in faults)
    said = f"{len(faults)} of {len(report.items)} pictures could not be made."
    told = ErrorReport(code="batch", message=said, action="The warnings say why.", exit_code=worst)
    complain(told)
    return worst
