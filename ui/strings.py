"""Every sentence that a user of the page reads, save the errors, which the engine words."""

from __future__ import annotations

from typing import Final

PRODUCT: Final = "Atelier Z"
ERROR: Final = "Error"

# Status line
STATES: Final = {
    "starting": "getting ready",
    "ready": "ready",
    "busy": "painting",
    "restarting": "restarting",
}


def waiting(count: int) -> str:
    """Say how many jobs wait."""
    return f"{count} waiting"


# Generate
PROMPT: Final = "Prompt"
PROMPT_HINT: Final = "Describe the picture. Plain sentences work best."
TRY_ONE: Final = "Try one"
MODEL: Final = "Model"
MODEL_INFO: Final = "Pick one, or paste the path of a Z-Image file or folder."
SHAPE: Final = "Shape"
CUSTOM: Final = "Custom"
COUNT: Final = "Pictures"
SEED: Final = "Seed"
SEED_HINT: Final = "random"
SEED_RANDOM: Final = "Random"
SEED_LAST: Final = "Last used"
GENERATE: Final = "Generate"
CANCEL: Final = "Cancel"
CANCELLING: Final = "Stopping…"
ADVANCED: Final = "Advanced"
NEGATIVE: Final = "Negative prompt"
NEGATIVE_INFO: Final = "What the picture should not show."
NEGATIVE_HINT: Final = "blurry, watermark"
MEGAPIXELS: Final = "Megapixels"
MEGAPIXELS_INFO: Final = "Keeps the shape."
MEGAPIXELS_FIXED: Final = "This model paints in one size only."
MEGAPIXELS_STANDARD: Final = "standard"
WIDTH: Final = "Width"
HEIGHT: Final = "Height"
STEPS: Final = "Steps"
GUIDANCE: Final = "Guidance"
GUIDANCE_INFO: Final = "0 = off."
SHIFT: Final = "Shift"
SHIFT_INFO: Final = "Higher: more time on the composition."
SAMPLER: Final = "Sampler"
NORMALIZATION: Final = "Guidance norm limit"
NORMALIZATION_INFO: Final = "Caps how far guidance may push. 0 = no cap."
TRUNCATION: Final = "Guidance until"
NO_GUIDANCE: Final = "Guidance is 0, so this has no effect."
NO_PROMPT: Final = "The prompt is empty."
NO_PROMPT_ACTION: Final = "Describe the picture first."
NO_INPUT: Final = "There is no picture to change."
NO_INPUT_ACTION: Final = "Give at least one picture."
FOREIGN_MODEL: Final = "Models that are not on the list open only on the computer itself."
FOREIGN_MODEL_ACTION: Final = "Pick a model from the list."
FOREIGN_PICTURE: Final = "Pictures are named by the page alone, not by a path."
FOREIGN_PICTURE_ACTION: Final = "Drop the picture on the page."
NOT_HERE_ACTION: Final = "Fetch it in Settings, or give the path of a file that you have."
DAMAGED: Final = "damaged"
PRECISIONS: Final = {"f16": "fp16", "bf16": "bf16", "f32": "fp32"}
WHICH: Final = "Nothing in this file says which model it is. Ask whoever made it, or try both."
WHICH_LABEL: Final = "What is it?"
WHICH_CHOICES: Final = (("turbo", "Turbo: few steps, no guidance"), ("base", "Base: with guidance"))
FOREIGN_SETTLING: Final = "What a model is can be said only on the computer itself."


def not_here(title: str) -> str:
    """Say that a model has yet to be fetched."""
    return f"{title} is not on this computer yet."


def file_size(size: int) -> str:
    """Write a size in bytes as people read it."""
    for unit, least in (("GB", 10**9), ("MB", 10**6)):
        if size >= least:
            return f"{size / least:.{1 if size < 10 * least or unit == 'GB' else 0}f} {unit}"
    return f"{max(1, round(size / 1000))} kB"


def recommended(low: float, high: float) -> str:
    """Name a recommended range."""
    return f"Recommended: {low:g}." if low == high else f"Recommended: {low:g} to {high:g}."


def unknown(words: tuple[str, ...]) -> str:
    """Name the words of a prompt that the model never saw."""
    shown = ", ".join(f"“{word}”" for word in words[:6])
    if len(words) > 6:
        return f"This model never saw {shown} and {len(words) - 6} more: expect a guess."
    return f"This model never saw {shown}: expect a guess."


# While a job runs
STAGES: Final = {
    "loading": "Loading the model",
    "encoding": "Reading the prompt",
    "preparing": "Looking at the picture",
    "denoising": "Painting",
    "decoding": "Developing",
    "saving": "Saving",
}
STARTING: Final = "Starting"
NEXT_IN_LINE: Final = "Next in line"
YOU_CAN_LEAVE: Final = "You can close this page; the picture lands in your output folder."


def in_line(position: int) -> str:
    """Say how many jobs come before: those that wait longer, and the one that is painted."""
    return f"Waiting; {position + 1} before it" if position else NEXT_IN_LINE


def step(number: int, total: int) -> str:
    """Say how far a stage is."""
    return f"step {number} of {total}"


def seconds_left(seconds: float) -> str:
    """Say how long a job still takes."""
    if seconds >= 90:
        return f"about {seconds / 60:.0f} min left"
    return f"about {max(1, round(seconds))} s left"


# Afterwards
EMPTY_TITLE: Final = "Your picture appears here"
EMPTY_TEXT: Final = "Describe it, then press Generate."
CANCELLED: Final = "Stopped. Nothing was saved."
FAILED: Final = "No picture this time"
EDIT_THIS: Final = "Edit"
INPAINT_THIS: Final = "Inpaint"
USE_SEED: Final = "Use this seed"
REUSE: Final = "Reuse all settings"
DOWNLOAD: Final = "Download"
ENLARGE: Final = "Show full screen"
ALL_PICTURES: Final = "Pictures of this session"
GONE: Final = "The picture is no longer there."
PICTURE_GONE: Final = "The file {name} is not in its folder any more."
GONE_ACTION: Final = "Load the page again."
NO_PICTURE: Final = "There is no picture yet."
NO_PICTURE_ACTION: Final = "Generate one first."


def done(seconds: float, count: int) -> str:
    """Say how long a job took."""
    if count == 1:
        return f"Painted in {seconds:.1f} s"
    return f"{count} pictures painted in {seconds:.1f} s"


def steps(count: object) -> str:
    """Name a number of steps."""
    return f"{count} steps"


def picture_name(number: int) -> str:
    """Name a thumbnail to a screen reader."""
    return f"Picture {number}"


# Restore
RESTORE: Final = "Restore settings from a picture"
RESTORE_DROP: Final = "Drop a picture made with Atelier Z here, or click to choose one."
NOT_UPLOADED: Final = "The picture did not arrive."
NOT_UPLOADED_ACTION: Final = "Choose a file of at most 50 MB."
RESTORED: Final = "Restored"
NOT_RESTORED: Final = "Not restored"


def model_missing(name: str) -> str:
    """Say that the model of a recipe is not among those on offer."""
    return f"The model “{name}” is not here; the chosen one stays."


# LoRA
LORAS: Final = "LoRA"
LORA_ADD: Final = "Add a LoRA"
LORA_ADD_INFO: Final = "Files of the LoRA folder, or paste a path."

LORA_FOLDER_EMPTY: Final = "The LoRA folder is empty."
LORA_REMOVE: Final = "Remove"
LORA_PARTIAL: Final = "Allow partial LoRAs"
LORA_PARTIAL_OPTION: Final = "--lora-partial"
"""What the engine calls it, which speaks to the command line too."""
LORA_PARTIAL_INFO: Final = "A LoRA here fits this model only in part."
LORA_STOP: Final = "Does not fit"
LORA_PARTLY: Final = "Fits in part"
LORA_FITS: Final = "Fits"
LORA_WORDS: Final = "Trigger words"
LORA_WORDS_INFO: Final = "Click one to add it to the prompt."
LORA_UNMATCHED: Final = "Parts that this model lacks"
LORA_MISSHAPEN: Final = "Parts of another size"
LORA_THERE: Final = "This LoRA is in the list already."
LORA_THERE_ACTION: Final = "Change its weight instead."
LORA_MISSING_ACTION: Final = "Put it into the LoRA folder and try again."
LORAS_UNREADABLE: Final = "The list of LoRAs is damaged."
FOREIGN_LORA: Final = "LoRAs that are not on the list open only on the computer itself."
FOREIGN_LORA_ACTION: Final = "Pick one from the list."
COMPARE: Final = "Compare with and without"
COMPARE_NOTHING: Final = "No LoRA is switched on."
COMPARE_NOTHING_ACTION: Final = "Add one first."
WITHOUT: Final = "Without LoRA"
TRAINED_FOR: Final = {
    "turbo": "trained for Turbo",
    "base": "trained for Base",
    "de-turbo": "trained for De-Turbo",
    "omni-base": "trained for Omni-Base",
}


def loras(count: int) -> str:
    """Head the list of LoRAs. count: those that are on."""
    return f"LoRA · {count} on" if count else LORAS


def lora_missing(name: str) -> str:
    """Say that a LoRA is not in the folder."""
    return f"The LoRA “{name}” is not here."


def rank(ranks: tuple[int, ...]) -> str:
    """Name the rank of a LoRA, or the range of its ranks."""
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"rank {ranks[0]} to {ranks[-1]}"


def alpha(alphas: tuple[float, ...]) -> str:
    """Name the alpha of a LoRA, or the range of its alphas."""
    few = len(alphas) == 1
    return f"alpha {alphas[0]:g}" if few else f"alpha {alphas[0]:g} to {alphas[-1]:g}"


def lora_weight(name: str) -> str:
    """Name the weight of a LoRA to a screen reader."""
    return f"Weight of {name}"


def remove_lora(name: str) -> str:
    """Name the button that takes a LoRA off the list."""
    return f"Remove {name}"


def with_loras(names: str) -> str:
    """Name the picture that was painted with LoRAs."""
    return f"With {names}"


# Settings
SETTINGS: Final = "Settings"
DEVICE: Final = "Device"
DEVICE_INFO: Final = "auto takes the best there is."
PRECISION: Final = "Precision"
PRECISION_INFO: Final = "auto suits the device; fp32 is exact and slow."
VRAM: Final = "Graphics memory limit (GB)"
VRAM_INFO: Final = "Empty: all that is free."
LORA_FOLDER: Final = "LoRA folder"
LORA_FOLDER_INFO: Final = "Its sub-folders count too."
OUTPUT_FOLDER: Final = "Output folder"
OUTPUT_FOLDER_INFO: Final = "Where pictures are saved."
THEME: Final = "Theme"
THEMES: Final = (("System", "system"), ("Light", "light"), ("Dark", "dark"))
SAVE: Final = "Save settings"
SAVED: Final = "Saved. Pictures that are being painted keep the old settings."
UNKNOWN_CHOICE: Final = "A setting has a value that is not on offer."
UNKNOWN_CHOICE_ACTION: Final = "Load the page again."
FULL_PATH: Final = "Give the full path, from the root or the drive on."

# Models in the settings
MODELS: Final = "Models"
AVAILABILITY: Final = {
    "here": "on this computer",
    "fetch": "can be fetched",
    "nowhere": "not available",
    "damaged": "damaged",
}
ADD: Final = "Add"
ADD_MODEL: Final = "Add a model of your own"
ADD_MODEL_INFO: Final = "The path of a Z-Image file or folder; it stays where it is."
REMOVE_MODEL: Final = "Remove from list"
NO_PATH: Final = "The path is empty."
PLAN: Final = "Plan download"
FETCH: Final = "Download"
NEVER_MIND: Final = "Never mind"
SEARCHING: Final = "Looking for files that are on this computer already…"
PLAN_TO: Final = "Goes to"
PLAN_FETCH: Final = "To fetch"
PLAN_REUSED: Final = "Already here"
PLAN_LICENCE: Final = "Licence"
PLAN_FILES: Final = "All files"
PLAN_STEPS: Final = {"here": "here", "link": "linked", "copy": "copied", "fetch": "fetched"}
PAUSE: Final = "Pause"
RESUME: Final = "Resume"
TRY_AGAIN: Final = "Try again"
STOP_DOWNLOAD: Final = "Stop and delete"
DOWNLOADS: Final = {
    "running": "Downloading {title}",
    "paused": "Paused: {title}",
    "done": "{title} is here. Pick it on the Generate tab.",
    "failed": "{title} could not be fetched",
    "cancelled": "Stopped. Nothing half is left of {title}.",
}


def remove_model(title: str) -> str:
    """Name the button that takes a model off the list."""
    return f"Remove {title} from the list"


def precision_of(title: str) -> str:
    """Name the choice of precisions of a model."""
    return f"Precision of {title}"


def plan_for(title: str) -> str:
    """Name the button that plans a download."""
    return f"Plan the download of {title}"


def planned(title: str, precision: str, size: int, count: int) -> str:
    """Head the plan of a download."""
    return f"{title} in {precision}: {file_size(size)} in {count} files"


def free(size: int) -> str:
    """Say how much room a disk has."""
    return f"{file_size(size)} free"


def fetched_from(size: int, endpoint: str) -> str:
    """Say how much is fetched, and from where."""
    return f"{file_size(size)} · {endpoint}" if size else "nothing"


def planned_file(step: str, name: str, size: int, original: object) -> str:
    """Say what happens to a file."""
    came = f" · {original}" if original else ""
    return f"{name} · {file_size(size)} · {PLAN_STEPS[step]}{came}"


def bytes_done(done: int, total: int) -> str:
    """Say how much of a download is done."""
    return f"{done / 10**9:.2f} of {total / 10**9:.2f} GB"


def speed(bytes_per_second: float) -> str:
    """Name the speed of a download."""
    return f"{bytes_per_second / 10**6:.1f} MB/s"


def downloading(percent: int) -> str:
    """Mention a download in the status line."""
    return f"downloading {percent} %"


# Errors of the page itself
BUG: Final = "Something unexpected happened."
BUG_ACTION: Final = "It is in the log; please report it."
PORT_ACTION: Final = "Choose another with --port."
HOSTS: Final = "Use 127.0.0.1, or 0.0.0.0 for your network."
LOGIN: Final = "User name: studio. The password was shown when the program started."
