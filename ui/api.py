"""The page's endpoints for other programs: the commands, under the same names.

They take the fields of a `Request` by name, as the command line does, and answer once the pictures
stand: for each its file, its recipe and what the job warned of.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import MISSING, fields
from typing import Any, Final, get_type_hints

import gradio as gr

from engine import CancelledError, Request, Result, from_report
from ui.context import PageContext
from ui.events import watch
from ui.handlers import plain_errors

PICTURES: Final = frozenset(
    {
        "task", "images", "mask", "strength", "feather", "fill", "fill_colour", "soft",
        "masked_only", "context", "extend", "regions",
    }
)  # fmt: skip
"""The fields of a request that say what becomes of input pictures."""
NOT_OFFERED: Final = frozenset({"device", "precision", "long_prompt"}) | PICTURES
"""What the owner's settings decide, and what painting from words alone has no use for."""

Answer = list[dict[str, Any]]


def build_api(page: PageContext, demo: gr.Blocks) -> None:
    """Add the endpoints to the page that is being built."""
    names = [field.name for field in fields(Request) if field.name not in NOT_OFFERED]

    async def generate(*values: Any) -> Answer:
        with plain_errors():
            request = Request.from_json(dict(zip(names, values, strict=True)))
            await asyncio.to_thread(page.admit, request)
            result = await _painted(page, request)
            return [_shown(demo, result, index) for index in range(len(result.pictures))]

    gr.events.api(
        _typed(generate, names),
        api_name="generate",
        api_description="Paint pictures from words.",
        concurrency_limit=None,
    )


def _typed(
    endpoint: Callable[..., Awaitable[Answer]], names: list[str]
) -> Callable[..., Awaitable[Answer]]:
    """Give an endpoint these fields of a request as its parameters, for Gradio to read."""
    hints = get_type_hints(Request)
    defaults = {field.name: field.default for field in fields(Request)}
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if defaults[name] is MISSING else defaults[name],
        )
        for name in names
    ]
    endpoint.__annotations__ = {name: hints[name] for name in names} | {"return": Answer}
    endpoint.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        parameters, return_annotation=Answer
    )
    return endpoint


async def _painted(page: PageContext, request: Request) -> Result:
    """Have a request painted, holding no thread meanwhile; raise an error of the tree."""
    async for view in watch(page.engine, page.engine.submit(request)):
        if view.error is not None:
            raise from_report(view.error)
        if view.result is not None:
            return view.result
    raise CancelledError("The job was cancelled.")


def _shown(demo: gr.Blocks, result: Result, index: int) -> dict[str, Any]:
    """Return one picture of a result: a copy in the page's own cache, and its recipe."""
    picture = result.pictures[index]
    copy = demo.move_resource_to_block_cache(picture.path)
    return {
        "picture": {"path": copy, "meta": {"_type": "gradio.FileData"}},
        "recipe": picture.recipe,
        "warnings": list(result.warnings),
    }
