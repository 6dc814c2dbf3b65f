"""How long the page takes to a live prompt box, beside a bare Gradio page with one button.

Runs both in turn, each from a fresh process, and writes the medians and their ratio:
    python -m tests.benchmarks.page_start [runs]
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from engine.setup.browser import find_browser
from tests.ui.browser.conftest import ARGUMENTS
from tests.ui.conftest import free_port

ROOT = Path(__file__).parents[2]
BARE = """
import sys
import gradio as gr
with gr.Blocks() as demo:
    gr.Button("Go", elem_id="go").click(lambda: None)
demo.launch(server_port=int(sys.argv[1]), quiet=True)
"""
PATIENCE = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Seconds from the start of the process, and from the address line alone, first and again."""

    start: float
    first_load: float
    next_load: float


def measure(browser: Browser, command: list[str], port: int, selector: str) -> Figures:
    """Start a page, load it twice, and end it; `selector` is what the user wants to see."""
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONPATH": str(ROOT)}
    begun = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as page:
        try:
            wait_for(port, page)
            first = _load(browser, port, selector)
            start = time.perf_counter() - begun
            return Figures(start=start, first_load=first, next_load=_load(browser, port, selector))
        finally:
            page.terminate()


def wait_for(port: int, page: subprocess.Popen[bytes]) -> None:
    """Wait until the page of a process can be reached; raise `RuntimeError`."""
    deadline = time.perf_counter() + PATIENCE
    while page.poll() is None and time.perf_counter() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("the page did not come up")


def _load(browser: Browser, port: int, selector: str) -> float:
    context = browser.new_context()
    tab = context.new_page()
    begun = time.perf_counter()
    tab.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
    tab.wait_for_selector(selector, state="visible", timeout=1000 * PATIENCE)
    seconds = time.perf_counter() - begun
    context.close()
    return seconds


def main(runs: int) -> None:
    """Measure, and write a table."""
    figures: dict[str, list[Figures]] = {"bare": [], "page": []}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as data:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=list(ARGUMENTS))
        for _ in range(runs):
            port = free_port()
            bare = [sys.executable, "-c", BARE, str(port)]
            figures["bare"].append(measure(browser, bare, port, "#go"))
            port = free_port()
            options = ["--no-browser", "--port", str(port), "--data-dir", data]
            page = [sys.executable, "app.py", *options]
            figures["page"].append(measure(browser, page, port, "#prompt textarea"))
        browser.close()
    for name in ("start", "first_load", "next_load"):
        bare, page = (
            statistics.median(getattr(one, name) for one in figures[kind])
            for kind in ("bare", "page")
        )
        sys.stdout.write(
            f"{name:<12} bare {bare:5.2f} s   page {page:5.2f} s   x {page / bare:.2f}\n"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
