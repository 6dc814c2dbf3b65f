"""What the Settings tab says, save about models, memory and sharing."""

from __future__ import annotations

from typing import Final

from ui.strings import file_size

THIS_COMPUTER: Final = "This computer"
PICTURES: Final = "Pictures"
FOLDERS: Final = "Folders"
PAGE: Final = "The page"
KEPT: Final = "Kept on this computer"

ATTENTION: Final = "Attention"
ATTENTION_INFO: Final = "On NVIDIA cards. Automatic takes the fastest that computes right."
ATTENTIONS: Final = (
    ("Automatic", "auto"),
    ("PyTorch", "pytorch"),
    ("cuDNN", "cudnn"),
    ("FlashAttention, if installed", "flash"),
    ("SageAttention, if installed (approximate)", "sage"),
)
CHOSEN: Final = "What automatic comes to, for the first model in its standard size:"
FILE_TYPE: Final = "File type"
FILE_TYPE_INFO: Final = "PNG and WebP keep every pixel; JPEG is smaller and loses a little."
FILE_TYPES: Final = (("PNG", "png"), ("WebP", "webp"), ("JPEG", "jpeg"))
METADATA: Final = "Keep the recipe in the picture"
METADATA_INFO: Final = (
    "Prompt and settings, to restore them later. Anyone with the file can read them."
)
PREVIEWS: Final = "Previews"
PREVIEWS_INFO: Final = "How often the unfinished picture is shown."
PREVIEW_RATES: Final = (
    ("4 a second", 0.25),
    ("1 a second", 1.0),
    ("every 5 seconds", 5.0),
    ("none", 0.0),
)
MODEL_FOLDER: Final = "Model folder"
MODEL_FOLDER_INFO: Final = "Where downloaded models lie."
MOVE: Final = "Move what is in a folder when it changes"
MOVE_INFO: Final = "To another drive too. Off: the files stay, and only new ones go there."
LANGUAGE: Final = "Language"
LANGUAGE_INFO: Final = "What is not translated yet stays English."
LANGUAGES: Final = (
    ("Browser's", "auto"),
    ("English", "en"),
    ("Deutsch", "de"),
    ("中文", "zh"),
)
CLEAR: Final = "Clear"
KINDS: Final = {
    "prompts": ("Prompts that were read", "Painted again, they need no text encoder."),
    "references": ("Input pictures that were read", "Edited again, they are not read again."),
    "slabs": ("Weights laid out to be streamed", "For models larger than the memory."),
    "small": ("Thumbnails and heads of files", "Made again when they are needed."),
    "page": ("Copies on the page", "A day old at most. Pictures on open pages may vanish."),
    "inputs": (
        "Pictures to begin with",
        "Removes those that nothing needs, half an hour after they came.",
    ),
    "trash": ("Trash", "Pictures that were thrown away; clearing deletes them for good."),
}


def clear(name: str) -> str:
    """Name the button that clears one kind."""
    return f"Clear: {name}"


def kept_in_all(size: int) -> str:
    """Say how much room everything takes."""
    return f"{file_size(size)} in all" if size else "Nothing is kept."


def cleared(size: int) -> str:
    """Say what clearing freed."""
    return f"{file_size(size)} freed." if size else "There was nothing to clear."


def moving(done: int, total: int) -> str:
    """Say how far moving is."""
    return f"Moving files: {file_size(done)} of {file_size(total)}"


def moved(count: int) -> str:
    """Say what was moved."""
    return f"{count} files moved." if count != 1 else "1 file moved."
