"""Every sentence of the Edit tab: pictures, steps, comparisons and batches."""

from __future__ import annotations

from typing import Final

EDIT: Final = "Edit"
INSTRUCTION: Final = "What should change?"
INSTRUCTION_HINT: Final = "Make the scarf red, and let it snow"
BUTTON: Final = "Edit picture"
INVITATION: Final = "Give a picture and say what should change."

PICTURES: Final = "Pictures to edit"
DROP_FIRST: Final = "Drop a picture here, paste one, or click to choose"
DROP_MORE: Final = "Add another, for the model to take from"
REMOVE: Final = "Take away"
MAKE_FIRST: Final = "Make it the first"
NOT_KEPT: Final = "The upload did not arrive."
NOT_KEPT_ACTION: Final = "Choose the picture again."
TOO_MANY: Final = "There are three pictures already."
TOO_MANY_ACTION: Final = "Take one away first."
GONE: Final = "This picture is not on the page any more."
GONE_ACTION: Final = "Choose it again."

TASK: Final = "How to edit"
TASKS: Final = (
    ("As the model can", "auto"),
    ("By instruction", "edit"),
    ("Guided redraw", "redraw"),
)
TASK_INFO: Final = "By instruction: the model reads picture and words. Guided redraw: it repaints."
STRENGTH: Final = "Strength"
STRENGTH_INFO: Final = "0 keeps the picture, 1 ignores it."
STRENGTH_IGNORED: Final = "Has no part here: the model follows the instruction itself."

NO_EDITORS: Final = (
    "Z-Image-Edit and Z-Image-Omni are announced, but their weights are not public. Until then, "
    "Z-Image and Z-Image-Turbo redraw the picture from your words; once they are, the same button "
    "changes only what you ask for."
)

BEFORE: Final = "Before"
AFTER: Final = "After"
COMPARISON: Final = "Before and after"
SLIDER: Final = "How much of the picture after to show"

STEPS: Final = "Steps"
STEPS_HINT: Final = "Every result is a step. Choose one to look at it."
ORIGIN: Final = "The picture it began with"
GO_ON: Final = "Go on from here"
HOLD: Final = "Compare with others"
RELEASE: Final = "Compare with the step before"
HERE: Final = "you edit this one"

BATCH: Final = "Many pictures at once"
BATCH_INFO: Final = (
    "Takes every picture through the words and settings above, or through the steps that lead to "
    "the step you look at. What fails is noted, and does not stop the rest."
)
BATCH_FILES: Final = "Pictures"
BATCH_FOLDER: Final = "Or a folder"
BATCH_FOLDER_HINT: Final = "Path of a folder with PNG, JPEG or WebP files"
BATCH_WAY: Final = "What to do with each"
BATCH_WAYS: Final = (("The words above", "words"), ("The steps so far", "steps"))
BATCH_START: Final = "Start"
BATCH_STOP: Final = "Stop"
BATCH_RUNS: Final = "A batch is running already."
BATCH_RUNS_ACTION: Final = "Wait until it is done, or stop it."
BATCH_EMPTY: Final = "There are no pictures to edit."
BATCH_EMPTY_ACTION: Final = "Drop some, or name a folder that holds PNG, JPEG or WebP files."
BATCH_NO_STEP: Final = "No step is chosen."
BATCH_NO_STEP_ACTION: Final = "Choose a result among the steps, or take the words above."
BATCH_DONE: Final = "Done"
BATCH_CANCELLED: Final = "Stopped"
SHEET: Final = "Contact sheet"
SHEET_OPEN: Final = "Save the contact sheet"
SHEET_FAILED: Final = "The contact sheet could not be made: {why}"


def step(number: int) -> str:
    """Name a step."""
    return f"Step {number}"


def next_from(number: int) -> str:
    """Say which step the next edit changes, where another is looked at."""
    return f"The next edit starts from step {number}. “Go on from here” starts it from this one."


def picture_number(number: int) -> str:
    """Return what a picture is called in an instruction."""
    return f"Picture {number}"


def step_name(number: int, prompt: str) -> str:
    """Name a step for a screen reader."""
    return f"Step {number}: {prompt}" if prompt else f"Step {number}: the picture it began with"


def branch_from(number: int) -> str:
    """Say which step a branch leaves."""
    return f"from {number}"


def batch_line(done: int, total: int, failed: int) -> str:
    """Say how far a batch is."""
    if failed:
        return f"{done} of {total} pictures · {failed} failed"
    return f"{done} of {total} pictures"


def step_of(step: int, steps: int) -> str:
    """Say which of its steps a picture of a batch is at."""
    return f"step {step} of {steps}"


def saved_in(folder: str) -> str:
    """Say where the pictures of a batch lie."""
    return f"Saved in {folder}"
