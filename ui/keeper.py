"""Runs a program for as long as the one that started it lives, and not a moment longer.

A process of its own: its input ends with its parent, however that ends, and so ends the program.
It imports nothing of the studio, and its arguments are the program's command line.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    """Run the program and return its exit code."""
    # Ctrl-C reaches every process of a terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: child.kill())

    def follow() -> None:
        # Not by sys.stdin, whose lock an ending program must not find held.
        while os.read(0, 4096):
            pass
        child.kill()

    threading.Thread(target=follow, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
