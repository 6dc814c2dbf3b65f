"""Atelier Z: without arguments it opens the page; `python app.py --help` lists the commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine import Engine
    from engine.cli.options import PageOptions

CANCELLED = 130


def show_page(engine: Engine, options: PageOptions) -> None:
    """Serve the page until the user ends the program."""
    from engine.cli.terminal import say
    from engine.lasting import lasting

    with lasting():
        from ui.launch import LaunchOptions, open_page
        from ui.sharing_strings import ends_in

        wanted = LaunchOptions(
            host=options.host,
            port=options.port,
            password=options.password,
            browser=options.browser,
            share=options.share,
        )
        opened = open_page(engine, wanted)
    with opened as page:
        say(f"The page is open at {page.url}")
        if page.password:
            say(f"User: studio   Password: {page.password}")
        share = page.sharing.state()
        if share.url:
            say(f"Guests reach their page at {share.url}")
            say(f"User: {share.user}   Password: {share.password}   {ends_in(share.seconds_left)}")
        page.wait()


def run(arguments: Sequence[str]) -> int:
    """Carry out a command line and return its exit code, also while the program is being read."""
    try:
        from engine.cli import main
        from engine.service.links import WORKER_ENVIRONMENT

        # For the commands that compute in this process; torch reads it once, when it is imported.
        for name, value in WORKER_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        return main(arguments, show_page)
    except KeyboardInterrupt:
        sys.stderr.write("error: The command was cancelled.\n")
        return CANCELLED


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
