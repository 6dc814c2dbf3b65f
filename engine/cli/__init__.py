"""The commands of app.py: `main` reads the command line and answers with an exit code."""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType, MappingProxyType

from engine import log
from engine import settings as settings_file
from engine.cli.downloads import download_model, verify_model
from engine.cli.models import add_model, list_models, show_model
from engine.cli.options import PageOptions, page_options, page_settings, parse
from engine.cli.terminal import complain, say, warn
from engine.errors import Cancelled, DiskError, StudioError, report
from engine.service import Engine

LOG_FOLDER = "logs"

OpenPage = Callable[[Engine, PageOptions], None]
"""Serves the page until the user ends the program."""

_MODELS: Mapping[str, Callable[[argparse.Namespace], int]] = MappingProxyType(
    {
        "list": list_models,
        "info": show_model,
        "add": add_model,
        "download": download_model,
        "verify": verify_model,
    }
)

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str], open_page: OpenPage) -> int:
    """Carry out a command line and return its exit code.

    0 done, 2 the input or the machine is at fault, 1 our bug, 130 cancelled; all but 0 after one
    line on standard error that begins with `error: `.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    # Until there is a file, and where there can be none: without a handler logging has one of last
    # resort, which writes to the terminal.
    log.set_up(None, verbose=False)
    try:
        return _run(parse(arguments), open_page)
    except StudioError as error:
        return _fail(error)
    except KeyboardInterrupt:
        return _fail(Cancelled("The command was cancelled."))
    except Exception as error:
        _log.exception("unforeseen")
        raise SystemExit(_fail(error)) from error


def _run(options: argparse.Namespace, open_page: OpenPage) -> int:
    """Carry out a command; each brings in only what it needs."""
    if options.command is None:
        return _page(options, open_page)
    with suppress(DiskError):
        # A command works without its log, too.
        log.set_up(options.data_dir / LOG_FOLDER, verbose=False, name=options.command)
    match options.command, getattr(options, "action", None):
        case "generate" | "edit" | "inpaint", _:
            from engine.cli.generate import generate

            return generate(options)
        case "batch", _:
            from engine.cli.batch import batch

            return batch(options)
        case "models", action:
            return _MODELS[str(action)](options)
        case "convert", _:
            from engine.cli import convert

            return convert.run(options)
        case "bench", _:
            from engine.cli.bench import bench

            return bench(options)
        case _:
            from engine.cli.doctor import doctor

            return doctor(options)


def _page(options: argparse.Namespace, open_page: OpenPage) -> int:
    """Open the page and keep it open until Ctrl-C or SIGTERM, its regular end."""
    settings, notices = settings_file.load(options.data_dir)
    log.set_up(settings.data_dir / LOG_FOLDER, verbose=False)
    for notice in notices:
        warn(notice)
    chosen = page_settings(options, settings)
    with Engine(chosen, asleep=True, journal=True) as engine, suppress(KeyboardInterrupt):
        for notice in engine.notices:
            warn(notice)
        open_page(engine, page_options(options))
    say("The page is closed.")
    return 0


def _fail(error: Exception) -> int:
    found = report(error)
    complain(found)
    return found.exit_code


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
