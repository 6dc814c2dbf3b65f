"""Tunnels for tests: by a program that stands in for frpc."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from engine import Relay
from ui.tunnel import FrpcTunnel

STAND_IN = Path(__file__).with_name("fake_frpc.py")


def fake_tunnel(folder: Path, behaviour: str = "works") -> Callable[[], FrpcTunnel]:
    """Return what makes tunnels that behave so."""
    program = folder / "frpc"
    program.write_text(f"#!{sys.executable}\n{STAND_IN.read_text(encoding='utf-8')}")
    program.chmod(0o700)
    relay = Relay(program=program, server=f"{behaviour}:7000")
    return lambda: FrpcTunnel(lambda cancelled: relay)
