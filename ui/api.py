"""The page's endpoints for other programs: the commands, under the same names.

They take the fields of a `Request` by name, as the command line does, and answer once the pictures
stand: for each its file, its recipe and what the job warned of.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import MISSING, fields
from types import MappingProxyType
from typing import Any, Final, get_type_hints

import gradio as gr

from engine import BadRequest, CancelledError, Request, Result, Task, from_report
from ui import strings
from ui.context import PageContext
from ui.events import watch
from ui.handlers import plain_errors
from ui.uploads import uploaded
from ui.visitors import new_secret

SETTLED: Final = frozenset({"device", "precision"})
"""What the owner's settings decide."""
REDRAWN: Final = frozenset({"task", "images", "strength"})
REPAINTED: Final = REDRAWN | {
    "mask", "feather", "fill", "fill_colour", "soft", "masked_only", "context", "extend", "regions",
}  # fmt: skip
"""The fields of a request that say what becomes of input pictures."""
ENDPOINTS: Final[Mapping[str, tuple[frozenset[str], str]]] = MappingProxyType(
    {
        "generate": (frozenset(), "Paint pictures from words."),
        "edit": (REDRAWN, "Change one to three pictures by an instruction."),
        "inpaint": (REPAINTED, "Repaint the white of a mask in a picture, or what is around it."),
    }
)
"""The endpoints: which fields for pictures each takes beside all others, and what it does."""

ADDRESS: Final = "endpoints"
"""Where the endpoints stand, beside the page that people see; nothing is shown there."""

Answer = list[dict[str, Any]]


def build_api(page: PageContext, demo: gr.Blocks) -> None:
    """Add the endpoints to a page that nothing is being built in.

    Each of their fields is a component to Gradio, which no browser that opens the page is sent.
    """
    with demo.route(ADDRESS, ADDRESS, show_in_navbar=False):
        for name, (pictures, said) in ENDPOINTS.items():
            left_out = SETTLED | (REPAINTED - pictures)
            taken = [field.name for field in fields(Request) if field.name not in left_out]
            gr.events.api(
                _typed(_endpoint(page, demo, name, taken), taken),
                api_name=name,
                api_description=said,
                concurrency_limit=None,
            )
    # Else all that is built from here on would stand there too.
    demo.current_page = ""


def _endpoint(
    page: PageContext, demo: gr.Blocks, endpoint: str, names: list[str]
) -> Callable[..., Awaitable[Answer]]:
    async def answer(*values: Any) -> Answer:
        with plain_errors():
            given = dict(zip(names, values, strict=True))
            request = await asyncio.to_thread(_admitted, page, endpoint, given)
            result = await _painted(page, request)
            return [_shown(demo, result, index) for index in range(len(result.pictures))]

    return answer


def _admitted(page: PageContext, endpoint: str, given: dict[str, Any]) -> Request:
    """Return the request that was sent, if it may be painted; uploaded pictures are kept.

    A path that was not uploaded is refused, whoever sends it: a page that is open in the browser
    may send requests too.
    """
    if endpoint != "generate" and not given["images"]:
        raise BadRequest(strings.NO_INPUT, strings.NO_INPUT_ACTION)
    if endpoint == "inpaint":
        given["task"] = Task.INPAINT
    keep = page.engine.keep_input
    if isinstance(given.get("images"), list):
        given["images"] = [keep(uploaded(one)) for one in given["images"]]
    if given.get("mask") is not None:
        given["mask"] = keep(uploaded(given["mask"]))
    if isinstance(given.get("regions"), list):
        given["regions"] = [
            {**one, "mask": keep(uploaded(one.get("mask")))} if isinstance(one, dict) else one
            for one in given["regions"]
        ]
    request = Request.from_json(given)
    page.admit(request)
    return request


def _typed(
    endpoint: Callable[..., Awaitable[Answer]], names: list[str]
) -> Callable[..., Awaitable[Answer]]:
    """Give an endpoint these fields of a request as its parameters, for Gradio to read."""
    hints = {**get_type_hints(Request), "images": list, "mask": Any, "regions": list}
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
    # A visitor's job without a browser is nobody else's to see.
    async for view in watch(page.engine, page.submit(request, new_secret())):
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
