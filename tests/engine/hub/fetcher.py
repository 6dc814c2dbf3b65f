"""A process that fetches one file: python -m tests.engine.hub.fetcher ENDPOINT FOLDER SIZE SEED."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.hub.fetch import Line, fetch, look_up
from engine.hub.hosts import choose_hosts
from engine.hub.watch import Meter, Watch
from engine.hub.wire import Wire
from tests.engine.hub.server import QUICK, noise, source


def main() -> None:
    endpoint, folder, size, seed = sys.argv[1:]
    wanted = source("a.bin", noise(int(size), int(seed)))
    hosts, watch = choose_hosts(endpoint), Watch()
    with Wire(hosts, QUICK, watch) as wire:
        meter = Meter(wanted.size, lambda progress: None)
        line = Line(wire=wire, hosts=hosts, patience=QUICK, watch=watch, meter=meter)
        sys.stdout.write("begin\n")
        sys.stdout.flush()
        fetch(look_up(wanted, line), Path(folder, "a.bin"), line)


if __name__ == "__main__":
    main()
