"""The adapters of a request: found and checked before a weight is read, then applied."""

from __future__ import annotations

from pathlib import Path

from engine.lora.apply import Adapter
from engine.lora.file import read_lora
from engine.lora.match import match
from engine.model.config import TransformerConfig
from engine.request import Request
from engine.tasks.find import lora_path


def choose_adapters(
    request: Request, folder: Path, config: TransformerConfig
) -> tuple[tuple[Adapter, ...], tuple[str, ...]]:
    """Return the adapters of a request, and what the user should know of them.

    folder: where bare names are looked for. One of weight 0 is not there at all. Only headers are
    read. Raise `NotFound`, `BadRequest`,
    or `FileRejected` for one that does not fit the model.
    """
    adapters = list[Adapter]()
    for lora in (lora for lora in request.loras if lora.weight):
        found = match(read_lora(lora_path(lora.name, folder)), config)
        adapters.append(Adapter(found, lora.weight, request.lora_partial))
    return tuple(adapters), tuple(note for adapter in adapters for note in adapter.notices)
