"""What becomes of a form's words on their way into requests: a style around them, lists drawn."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace

from engine import DRAWN_SEEDS, Presets, Request, StudioError, Wildcards
from ui import bindings


def requests_of(presets: Presets, values: Mapping[str, object]) -> tuple[Request, ...]:
    """Return what a form asks for: one request, or one for each picture where words are drawn.

    values: of the form's widgets by name; beside the fields of a request `style`, the title of one,
    and `match`, whether the picture takes the size of its input. Raise an error of the tree.
    """
    wanted = bindings.to_request(values)
    if values.get("match") and wanted.images:
        wanted = wanted.with_values(width=None, height=None)
    style = str(values.get("style") or "")
    wildcards = presets.wildcards
    if not _draws(wanted, wildcards):
        # Signs that a backslash took as they are still lose it.
        return (_styled(_drawn(wanted, wildcards, 0), presets, style),)
    first = secrets.randbelow(DRAWN_SEEDS) if wanted.seed is None else wanted.seed
    drawn = (
        _drawn(wanted.with_values(seed=first + index, count=1), wildcards, first + index)
        for index in range(wanted.count)
    )
    return tuple(_styled(request, presets, style) for request in drawn)


def plain_words(presets: Presets, prompt: str) -> str:
    """Return one drawing of a prompt to judge its words by, or the prompt where none can be."""
    try:
        return presets.wildcards.expand(prompt, 0).prompt
    except StudioError:
        return prompt


def _draws(request: Request, wildcards: Wildcards) -> bool:
    texts = (request.prompt, request.negative)
    return any(wildcards.expand(text, 0).drawn for text in texts)


def _drawn(request: Request, wildcards: Wildcards, seed: int) -> Request:
    regions = tuple(
        replace(one, prompt=wildcards.expand(one.prompt, seed).prompt) for one in request.regions
    )
    return request.with_values(
        prompt=wildcards.expand(request.prompt, seed).prompt,
        negative=wildcards.expand(request.negative, seed).prompt,
        regions=regions,
    )


def _styled(request: Request, presets: Presets, title: str) -> Request:
    return presets.style(title).around(request) if title else request
