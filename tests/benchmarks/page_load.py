"""How long a page takes from the address line to a prompt box that is seen, and what it holds.

The engine is the tests' fake one, so that only the page is measured. With several working trees,
such as this one and that of an older commit, each is loaded in turn, so that what else the machine
does strikes all of them alike:
    python -m tests.benchmarks.page_load [runs] [folder ...]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from engine.setup.browser import find_browser
from tests.benchmarks.page_start import PATIENCE, ROOT, wait_for
from tests.ui.browser.conftest import ARGUMENTS
from tests.ui.conftest import free_port

SERVE = """
import sys, tempfile, time
from pathlib import Path
from tests.ui.fake_engine import FakeEngine
from ui.launch import LaunchOptions, open_page
options = LaunchOptions(port=int(sys.argv[1]), browser=False)
with FakeEngine(Path(tempfile.mkdtemp())) as engine, open_page(engine, options):
    while True:
        time.sleep(60)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One load: seconds until the prompt is seen, of work of the browser's main thread until then,
    and until the page answers.
    """

    seen: float
    busy: float
    ready: float
    requests: int


def load(browser: Browser, port: int) -> Figures:
    """Open the page in a new profile and wait for its prompt."""
    context = browser.new_context(viewport={"width": 1366, "height": 900})
    tab = context.new_page()
    requests = list[str]()
    tab.on("request", lambda request: requests.append(request.url))
    line = context.new_cdp_session(tab)
    line.send("Performance.enable", {"timeDomain": "threadTicks"})
    begun = time.perf_counter()
    tab.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
    tab.wait_for_selector("#prompt textarea", state="visible", timeout=1000 * PATIENCE)
    seen = time.perf_counter() - begun
    metrics = {one["name"]: one["value"] for one in line.send("Performance.getMetrics")["metrics"]}
    count = len(requests)
    tab.wait_for_selector("[data-ready]", state="attached", timeout=1000 * PATIENCE)
    ready = time.perf_counter() - begun
    context.close()
    return Figures(seen=seen, busy=metrics["TaskDuration"], ready=ready, requests=count)


def holds(port: int) -> str:
    """Say how many components and events the page holds, and how long its description is."""
    address = f"http://127.0.0.1:{port}/config?page="
    with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
        text = answer.read()
    config = json.loads(text)
    components, events = len(config["components"]), len(config["dependencies"])
    return f"{components} components, {events} events, {len(text) / 1000:.0f} kB"


def main(runs: int, trees: list[Path]) -> None:
    """Measure, and write a line for each tree."""
    with ExitStack() as stack:
        ports = [free_port() for _ in trees]
        for tree, port in zip(trees, ports, strict=True):
            command = [sys.executable, "-c", SERVE, str(port)]
            page = subprocess.Popen(command, cwd=tree, stdout=subprocess.DEVNULL)
            stack.callback(page.wait)
            stack.callback(page.terminate)
            wait_for(port, page)
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=find_browser(), args=list(ARGUMENTS))
        stack.callback(browser.close)
        for port in ports:
            load(browser, port)
        figures = [[load(browser, port) for port in ports] for _ in range(runs)]
        for tree, port, found in zip(trees, ports, zip(*figures, strict=True), strict=True):
            said = ", ".join(
                f"{name} {statistics.median(values):.2f} s (best {min(values):.2f})"
                for name in ("seen", "busy", "ready")
                if (values := [getattr(one, name) for one in found])
            )
            sys.stdout.write(f"{tree}: {said}, {found[0].requests} requests, {holds(port)}\n")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given[0]) if given else 5, [Path(one) for one in given[1:]] or [ROOT])
