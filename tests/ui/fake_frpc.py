"""A stand-in for frpc: the same command line, but its server is this computer.

What it does is told by the server's name: "works", "refuses", "is-silent", "dies" (a moment after
it opened), "will-not-start". Its process id goes to the file that FAKE_FRPC_PID names.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from pathlib import Path


def main() -> None:
    options = dict(zip(sys.argv[2::1], sys.argv[3::1], strict=False))
    assert sys.argv[1] == "http"
    assert options["-i"] == "127.0.0.1"
    assert len(options["-n"]) >= 32
    port, behaviour = int(options["-l"]), options["--server_addr"].partition(":")[0]
    note = os.environ.get("FAKE_FRPC_PID")
    if note:
        Path(note).write_text(str(os.getpid()))
    if behaviour == "will-not-start":
        sys.exit("no such server")
    say("2026/01/01 00:00:00 [I] login to server success")
    if behaviour == "refuses":
        say("2026/01/01 00:00:00 [W] login to server failed: no more room")
    if behaviour in {"refuses", "is-silent"}:
        time.sleep(600)
    with socket.create_server(("127.0.0.1", 0)) as door:
        outside = door.getsockname()[1]
        say(f"[I] start proxy success: http://abc123.gradio.live:{outside}")
        if behaviour == "dies":
            time.sleep(1)
            return
        # More than a pipe holds: nobody may have to read it for this to go on.
        threading.Thread(target=lambda: say("[I] " + "x" * 100 + "\n" * 2000), daemon=True).start()
        while True:
            visitor, _ = door.accept()
            threading.Thread(target=serve, args=(visitor, port), daemon=True).start()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def serve(visitor: socket.socket, port: int) -> None:
    """Pass a connection on, with the header that a server of the real ones adds."""
    with visitor, socket.create_connection(("127.0.0.1", port)) as page:
        threading.Thread(target=copy, args=(page, visitor), daemon=True).start()
        head, line, rest = visitor.recv(65536).partition(b"\r\n")
        page.sendall(head + line + b"X-Forwarded-For: 203.0.113.7\r\n" + rest)
        copy(visitor, page)


def copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


if __name__ == "__main__":
    main()
