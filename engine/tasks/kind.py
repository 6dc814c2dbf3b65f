"""What a request asks for, by the pictures that it brings. Without torch, for the page says it."""

from __future__ import annotations

from engine.errors import BadRequest
from engine.request import Request, Task
from engine.variants import VARIANTS, Variant

GIVE_PICTURE = "Give one with --image, or drop it on the page."


def decide_task(request: Request, variant: Variant) -> Task:
    """Return what is to be done; never AUTO.

    A mask, an extension or regions mean INPAINT; pictures alone EDIT where the variant can, else
    REDRAW; no picture GENERATE. Raise `BadRequest` where that, or the task that the request names,
    is not possible with its pictures and this variant.
    """
    asked = request.task
    task = _likely(request, variant) if asked is Task.AUTO else asked
    _check_pictures(request, task)
    if task is Task.EDIT and not variant.edits:
        raise BadRequest(
            f"{variant.title} cannot edit by instruction.",
            f"Choose {_editors()}, or leave the task open for a guided redraw.",
        )
    if task in {Task.REDRAW, Task.INPAINT} and len(request.images) > 1:
        raise BadRequest(
            f"{variant.title} begins with one picture here, not with {len(request.images)}.",
            f"Take one picture; {_editors()} can read up to three and edit by instruction.",
        )
    if task is Task.INPAINT and not repaints(request):
        raise BadRequest(
            "There is no mask: nothing says where to repaint.",
            "Give one with --mask, or extend the picture.",
        )
    return task


def repaints(request: Request) -> bool:
    """Say whether a request names parts of a picture to repaint."""
    return request.mask is not None or any(request.extend) or bool(request.regions)


def intention(request: Request, variant: Variant) -> str:
    """Return one line for the user: what will be done, and why; raise as `decide_task`."""
    task = decide_task(request, variant)
    title, many = variant.title, len(request.images)
    match task:
        case Task.EDIT:
            pictures = "the picture" if many == 1 else f"{many} pictures"
            return f"Edits by instruction: {title} reads {pictures} along with your words."
        case Task.REDRAW:
            reason = "" if variant.edits else f", for {title} cannot follow an instruction"
            return (
                "Guided redraw: begins with your picture and paints what the prompt "
                f"describes{reason}. Strength says how far it may go."
            )
        case Task.INPAINT if any(request.extend) and (request.mask or request.regions):
            return (
                "Repaints the mask and extends the picture: every other pixel outside the "
                "feathered edges stays as it is."
            )
        case Task.INPAINT if any(request.extend):
            return "Extends the picture: only the new margins and their feathered edge are painted."
        case Task.INPAINT:
            return "Repaints the mask only: every pixel outside its feathered edge stays as it is."
        case _:
            return "Paints a new picture from your words, for there is no picture to begin with."


def _likely(request: Request, variant: Variant) -> Task:
    if repaints(request):
        return Task.INPAINT
    if not request.images:
        return Task.GENERATE
    return Task.EDIT if variant.edits else Task.REDRAW


def _check_pictures(request: Request, task: Task) -> None:
    """Refuse a task without the pictures it needs, and pictures without a task for them."""
    if task is Task.GENERATE and (request.images or repaints(request)):
        raise BadRequest(
            "The task generate takes no pictures and no mask.",
            "Leave the task open, or take the pictures away.",
        )
    if task is not Task.GENERATE and not request.images:
        what = "extension" if any(request.extend) else "mask" if repaints(request) else "task"
        named = f"task {task}" if what == "task" else what
        raise BadRequest(f"The {named} needs a picture, and there is none.", GIVE_PICTURE)
    if task in {Task.EDIT, Task.REDRAW} and repaints(request):
        raise BadRequest(
            f"The task {task} takes no mask and no extension.", "Choose the task inpaint."
        )


def _editors() -> str:
    """Name the models that edit by instruction."""
    return " or ".join(variant.name for variant in VARIANTS if variant.edits)
