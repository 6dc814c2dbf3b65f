"""Every sentence of the page about styles, presets, word lists, sizes and grids."""

from __future__ import annotations

from typing import Final

# Styles
STYLE: Final = "Style"
NO_STYLE: Final = "None"
STYLE_INFO: Final = "How the picture is made. Its sentences are put around your prompt."
STYLE_SETTINGS: Final = "Use its settings"
STYLE_NEGATIVE: Final = "With guidance, not wanted: "
YOUR_PROMPT: Final = "your prompt"

# What the model reads
LONG_PROMPT: Final = "Long prompt"
LONG_PROMPT_INFO: Final = "The models were trained on 512 tokens and can take 1504."
LONG_PROMPT_CHOICES: Final = (
    ("Cut after 512 tokens", "cut"),
    ("End at a whole sentence", "sentence"),
    ("Read all, up to 1504", "full"),
)
DRAWN: Final = "With this seed:"
FOR_EXAMPLE: Final = "For example:"
OTHER_EXAMPLES: Final = "Other examples"
WORD_LISTS: Final = "Word lists"
WORD_LISTS_INFO: Final = (
    "Each picture draws one line of a list; {red|blue} draws one of these words. A click adds a "
    "list to the prompt. Your own lists are text files in the folder presets/wildcards."
)


def tokens(count: int, limit: int) -> str:
    """Say how long a prompt is."""
    return f"{count:,} of {limit:,} tokens"


# Sizes
OTHER_SHAPE: Final = "Other shape"
OTHER_SHAPE_INFO: Final = "Pick one, or write it as 5:4."
MATCH: Final = "Same size as the picture"
MATCH_INFO: Final = "Otherwise the picture is fitted to the shape chosen here."


def bad_shape(text: str) -> str:
    """Say that a shape cannot be."""
    return f"{text[:40]!r} is no shape."


BAD_SHAPE_ACTION: Final = "Write width to height as 5:4, at most 10:1."


def beyond(title: str, width: float, height: float) -> str:
    """Say that a size lies beyond what a model was trained on."""
    return (
        f"{title} was not trained on {width:.0f} × {height:.0f} pixels: expect repeated or broken "
        "forms."
    )


def trained(low: int, high: int) -> str:
    """Name the smallest and the largest square that a model was trained on."""
    return f"It is at its best from {low} × {low} to {high} × {high}."


# Presets
PRESETS: Final = "Presets"
PRESET: Final = "Preset"
PRESET_INFO: Final = "Sets model, size and everything else; your prompt and seed stay."
OWN: Final = "own"
PRESET_TITLE: Final = "Save these settings as"
PRESET_HINT: Final = "a short name"
WITH_PROMPT: Final = "With the prompt"
SAVE: Final = "Save"
DELETE: Final = "Delete"
KEEP_DEFAULTS: Final = "Use as this model's defaults"
FORGET_DEFAULTS: Final = "Back to the program's defaults"
NO_TITLE: Final = "Give the preset a name."
NOT_OWN: Final = "Only presets that you saved can be deleted."


def saved(title: str) -> str:
    """Say that a preset was saved."""
    return f"The preset “{title}” is saved."


def deleted(title: str) -> str:
    """Say that a preset was deleted."""
    return f"“{title}” is deleted."


def defaults_kept(title: str) -> str:
    """Say that a model has defaults of the user's own now."""
    return f"{title} begins with these settings from now on."


def defaults_forgotten(title: str) -> str:
    """Say that a model has the program's defaults again."""
    return f"{title} begins with the program's settings again."


def unknown_sampler(name: object) -> str:
    """Say that a preset names a sampler that is not there."""
    return f"The sampler {name!r:.40} is not known here and left out."


def other_model(name: str) -> str:
    """Say that a preset is made for a model that is not there."""
    return (
        f"It is made for {name:.80}, which is not on this computer: size, steps, guidance and the "
        "negative prompt stay as they suit the model here."
    )


def unknown_style(title: str) -> str:
    """Say that a preset names a style that is not there."""
    return f"The style {title!r:.80} is not here and left out."


# Grids
GRID: Final = "X/Y grid"
GRID_INFO: Final = (
    "Paints a picture for each pair of values, and one sheet of them all; all else is as the "
    "form says. Values have commas between, or semicolons; 1..5 and 2..8:2 are ranges. Of words, "
    "the first are replaced in the prompt by each of the others."
)
ACROSS: Final = "Across"
DOWN: Final = "Down"
VALUES_ACROSS: Final = "Values across"
VALUES_DOWN: Final = "Values down"
VALUES_HINT: Final = "4, 8, 12"
STYLES_TO_NAME: Final = "Styles, by their titles:"
NOTHING: Final = "Nothing"
PAINT_GRID: Final = "Paint the grid"
STOP_GRID: Final = "Stop the grid"
GRID_RUNS: Final = "A grid is being painted."
GRID_RUNS_ACTION: Final = "Wait for its end, or stop it."
PARAMETERS: Final = {
    "seed": "Seed",
    "steps": "Steps",
    "guidance_scale": "Guidance",
    "words": "Words of the prompt",
    "style": "Style",
    "lora_weight": "LoRA weight",
    "size": "Size",
    "model": "Model",
    "sampler": "Sampler",
    "shift": "Shift",
    "cfg_normalization": "Guidance norm limit",
    "cfg_truncation": "Guidance until",
    "step_cache": "Step cache",
    "strength": "Strength",
    "feather": "Feather",
}


def grid_size(across: int, down: int) -> str:
    """Say how many pictures a grid has."""
    many = across * down
    return "1 × 1 = 1 picture" if many == 1 else f"{across} × {down} = {many} pictures"
