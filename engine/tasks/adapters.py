"""The adapters of a request: found and checked before a weight is read, then applied."""

from __future__ import annotations

from pathlib import Path

from engine.lora.apply import Adapter
from engine.lora.file import read_lora
from engine.lora.match import match, require
from engine.model.config import TransformerConfig
from engine.request import Request
from engine.tasks.find import lora_path


def choose_adapters(
    request: Request, folder: Path, config: TransformerConfig
) -> tuple[tuple[Adapter, ...], tuple[str, ...]]:
    """Return the adapters of a request, and what the user should know of them.

    folder: where bare names are looked for. Only headers are read. Raise `NotFound`, `BadRequest`,
    or `FileRejected` for one that does not fit the model.
    """
    adapters, notices = list[Adapter](), list[str]()
    for lora in request.loras:
        file = read_lora(lora_path(lora.name, folder))
        notices += require(match(file, config), partial=request.lora_partial)
        adapters.append(Adapter(file, lora.weight, partial=request.lora_partial))
    return tuple(adapters), tuple(notices)
