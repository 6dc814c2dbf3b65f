"""`app.py models download` and `models verify`: weights as their maker made them."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from engine.checkpoints.library import Library
from engine.cli.terminal import progress, say
from engine.errors import Cancelled, FileRejected, NotFound
from engine.hub.download import download
from engine.hub.plan import DownloadPlan, Step, plan_download
from engine.hub.record import FILE_NAME, Fault, installed, read_record, verify
from engine.hub.watch import DownloadProgress
from engine.request import Precision
from engine.settings import models_folder
from engine.variants import VARIANTS, by_name


def add_download_options(parser: argparse.ArgumentParser) -> None:
    """Add what `models download` takes."""
    offered = (Precision.BF16.value, Precision.INT8.value)
    add = parser.add_argument
    add("name", metavar="NAME", help="a model of the list")
    add("--precision", metavar="P", choices=offered, default=Precision.AUTO.value,
        help=f"{' or '.join(offered)} (default: the first that there is)")  # fmt: skip
    add("--to", metavar="DIR", type=Path, help="folder for models (default: in the data folder)")
    add("--from", dest="homes", metavar="DIR", type=Path, action="append", default=[],
        help="a folder to take files from that are there already (repeat)")  # fmt: skip
    add("--endpoint", metavar="URL", help="a mirror to fetch from (default: huggingface.co)")
    add("--yes", action="store_true", help="do not ask before fetching")
    add("--json", action="store_true", help="print lines of JSON: plan, progress, done")


def add_verify_options(parser: argparse.ArgumentParser) -> None:
    """Add what `models verify` takes."""
    parser.add_argument("name", metavar="NAME", help="a model that was downloaded, or its folder")
    parser.add_argument("--json", action="store_true", help="print JSON")


def download_model(options: argparse.Namespace) -> int:
    """Say what will be fetched, and fetch it if the user agrees; print the model's folder."""
    plan = plan_download(
        by_name(options.name),
        Precision(options.precision),
        (options.to or models_folder(options.data_dir)).absolute(),
        [home.absolute() for home in options.homes],
        endpoint=options.endpoint,
    )
    say(_plan_as_json(plan) if options.json else "\n".join(plan.in_words()))
    plan.check_space()
    if plan.fetch_bytes and not options.yes:
        _must_agree()
    folder = download(plan, _show_json if options.json else _show)
    progress("")
    say(json.dumps({"event": "done", "folder": str(folder)}) if options.json else str(folder))
    return 0


def verify_model(options: argparse.Namespace) -> int:
    """Read every file of a downloaded model again; raise `FileRejected` naming what is wrong."""
    faults: list[tuple[Path, Fault]] = []
    folders = _folders(options.name, options.data_dir)
    for folder in folders:
        found = verify(folder, on_file=lambda name: progress(f"reading {name}"))
        faults += [(folder, fault) for fault in found]
    progress("")
    if options.json:
        wrong = [{"folder": str(folder), **asdict(fault)} for folder, fault in faults]
        say(json.dumps({"folders": [str(folder) for folder in folders], "faults": wrong}))
    if faults:
        raise FileRejected(
            "; ".join(f"{folder / fault.file} {fault.problem}" for folder, fault in faults) + ".",
            "Mend it: " + ", ".join(dict.fromkeys(_command(folder) for folder, _ in faults)),
        )
    if not options.json:
        say("\n".join(f"{folder}: every file is as it was fetched" for folder in folders))
    return 0


def _must_agree() -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        # A script's command is its user's word.
        return
    sys.stderr.write("Fetch it? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Cancelled("Nothing was fetched.")


def _folders(name: str, data_dir: Path) -> list[Path]:
    """Return the folders of a downloaded model, in every precision it is there."""
    models = models_folder(data_dir)
    folders = [model.folder for model in installed(models) if model.variant == name]
    if not folders and name in {variant.name for variant in VARIANTS}:
        # With a file missing it no longer counts as installed, but that is what one asks about.
        folders = sorted(path.parent for path in models.glob(f"{name}-*/{FILE_NAME}"))
    if folders:
        return folders
    if Path(name).is_dir():
        return [Path(name).absolute()]
    if Library(data_dir).find(name) is not None:
        raise NotFound(
            f"The model {name!r:.80} was not downloaded: its maker's sums are not known."
        )
    variant = by_name(name)
    if variant.unavailable is not None:
        raise NotFound(variant.unavailable)
    if not variant.downloads:
        raise NotFound(f"{variant.title} comes with the program and was not downloaded.")
    raise NotFound(
        f"The model {name!r:.80} was not downloaded.", f"Fetch it: app.py models download {name}"
    )


def _command(folder: Path) -> str:
    record = read_record(folder)
    return f"app.py models download {record.variant} --precision {record.precision}"


def _show(now: DownloadProgress) -> None:
    share = now.done / now.total if now.total else 1.0
    left = "" if now.seconds_left is None else f", {_duration(now.seconds_left)} left"
    speed = f"{now.bytes_per_second / 1e6:.1f} MB/s"
    progress(f"{share:4.0%} of {now.total / 1e9:.2f} GB, {speed}{left}, {now.file}")


def _show_json(now: DownloadProgress) -> None:
    say(json.dumps({"event": "progress", **asdict(now)}))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes}:{rest:02d} min"


def _plan_as_json(plan: DownloadPlan) -> str:
    files = [
        {
            "path": str(file.path),
            "step": file.step,
            "size": file.source.size,
            "sha256": file.source.sha256,
            "from": str(file.original) if file.step is not Step.FETCH else file.source.repo,
        }
        for file in plan.files
    ]
    return json.dumps(
        {
            "event": "plan",
            "model": plan.variant,
            "precision": plan.precision,
            "licence": plan.licence,
            "folder": str(plan.folder),
            "endpoint": plan.endpoint,
            "fetch_bytes": plan.fetch_bytes,
            "reused_bytes": plan.reused_bytes,
            "total_bytes": plan.total_bytes,
            "needed_bytes": plan.needed_bytes,
            "free_bytes": plan.free,
            "files": files,
        }
    )
