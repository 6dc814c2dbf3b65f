"""Every sentence of the history and of the queue."""

from __future__ import annotations

from typing import Final

HISTORY: Final = "History"
NO_HISTORY: Final = "There is no history on this page."
NO_HISTORY_ACTION: Final = "Start the program again."

# What to look for
WORDS: Final = "Search"
WORDS_HINT: Final = "Words of the prompt, a model, a LoRA"
MODEL: Final = "Model"
ANY_MODEL: Final = "Every model"
LORA: Final = "LoRA"
ANY_LORA: Final = "With or without"
SINCE: Final = "From"
UNTIL: Final = "To"
DAY_HINT: Final = "YYYY-MM-DD"
KIND: Final = "Show"
KINDS: Final = {"all": "All", "favourites": "Favourites", "trash": "Trash"}
OLDER: Final = "Older"
NEWEST: Final = "Newest"
EMPTY_TRASH: Final = "Delete all in the trash"

NOTHING: Final = "No picture yet. What you paint is kept here."
NOTHING_FOUND: Final = "No picture is like this."
TRASH_EMPTY: Final = "The trash is empty."
PICTURES: Final = "Earlier pictures"
UNREADABLE: Final = "file gone"

# One picture
ALL_SETTINGS: Final = "Use all settings"
EDIT: Final = "Edit"
INPAINT: Final = "Inpaint"
OTHER_MODEL: Final = "Same seed, other model"
FAVOUR: Final = "★ Favourite"
THROW_AWAY: Final = "Move to trash"
TAKE_BACK: Final = "Take back"
FAVOURED: Final = "It is a favourite now."
NOT_FAVOURED: Final = "It is no favourite any more."
THROWN_AWAY: Final = "It is in the trash."
TAKEN_BACK: Final = "It is back among the others."
DOWNLOAD: Final = "Download"
CLOSE: Final = "Close"
PICTURE: Final = "The chosen picture"
FILE_GONE: Final = "The file of this picture is gone: {name}."
FILE_GONE_ACTION: Final = "Its settings are still here."
GUEST: Final = "guest"

# The queue
QUEUE: Final = "Queue"
RUNNING: Final = "painting"
STOPPED: Final = "broken off again and again"
MOVE_UP: Final = "Sooner"
MOVE_DOWN: Final = "Later"
CANCEL: Final = "Cancel"
AGAIN: Final = "Once more, with another seed"
RESUME: Final = "Paint it after all"
NO_PROMPT: Final = "(no words)"


def bad_day(text: str) -> str:
    """Say that a text is no day."""
    return f"{text!r:.40} is no day."


BAD_DAY_ACTION: Final = "Write it as YYYY-MM-DD, as 2026-01-31."


def picture_of(prompt: str, day: str) -> str:
    """Name a picture by what it shows and when it was made."""
    return f"“{prompt}”, {day}" if prompt else f"{NO_PROMPT}, {day}"


def jobs(count: int) -> str:
    """Say how many jobs there are."""
    return "1 job" if count == 1 else f"{count} jobs"


def step(number: int, total: int) -> str:
    """Say how far a job is."""
    return f"painting, step {number} of {total}" if total else RUNNING


def place(number: int) -> str:
    """Say when a job comes, 1 = next."""
    return "next" if number == 1 else f"{number} to go"


def deleted(count: int) -> str:
    """Say how many pictures were deleted for good."""
    return "1 picture was deleted." if count == 1 else f"{count} pictures were deleted."


def of_job(action: str, prompt: str) -> str:
    """Name a button by what it does to which job."""
    return f"{action}: “{prompt}”" if prompt else f"{action}: {NO_PROMPT}"
