"""Atelier Z: without arguments it opens the page; `python app.py --help` lists the commands."""

from __future__ import annotations

import os
import sys

from engine import Engine
from engine.cli import main
from engine.cli.options import PageOptions
from engine.cli.terminal import say
from engine.service.links import WORKER_ENVIRONMENT


def show_page(engine: Engine, options: PageOptions) -> None:
    """Serve the page until the user ends the program."""
    from ui.launch import LaunchOptions, open_page

    wanted = LaunchOptions(
        host=options.host,
        port=options.port,
        password=options.password,
        browser=options.browser,
        share=options.share,
    )
    with open_page(engine, wanted) as page:
        say(f"The page is open at {page.url}")
        if page.password:
            say(f"User: studio   Password: {page.password}")
        page.wait()


if __name__ == "__main__":
    # For the commands that compute in this process; torch reads it once, when it is imported.
    for name, value in WORKER_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    sys.exit(main(sys.argv[1:], show_page))
