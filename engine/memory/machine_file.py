"""machine.json in the data folder: what was measured of this machine, by device."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine import strict_json
from engine.errors import UserError
from engine.storage import atomic_write, exclusive, read_bounded

FILE: Final = "machine.json"
MAX_BYTES: Final = 256 * 1024
MAX_DEVICES: Final = 16

Values = Mapping[str, object]


def recall(folder: Path, device: str, what: str) -> dict[str, object]:
    """Return the values kept of a device under a name; none of a file that is absent or damaged.

    They may come from anywhere: whoever asks checks each.
    """
    found = _devices(folder).get(device)
    values = found.get(what) if isinstance(found, dict) else None
    return values if isinstance(values, dict) else {}


def keep(folder: Path, device: str, what: str, values: Values) -> None:
    """Keep values of a device under a name; the device used longest ago makes room.

    Raises `DiskError`.
    """
    with exclusive(folder / FILE):
        devices = _devices(folder)
        found = devices.pop(device, None)
        devices[device] = {**(found if isinstance(found, dict) else {}), what: dict(values)}
        kept = dict(list(devices.items())[-MAX_DEVICES:])
        text = json.dumps({"devices": kept}, indent=1, allow_nan=False)
        atomic_write(folder / FILE, text.encode() + b"\n")


def _devices(folder: Path) -> dict[str, object]:
    try:
        data = read_bounded(folder / FILE, MAX_BYTES)
        values = strict_json.parse(data, f"The file {folder / FILE}", max_bytes=MAX_BYTES)
    except UserError:
        return {}
    devices = values.get("devices") if isinstance(values, dict) else None
    return devices if isinstance(devices, dict) else {}
