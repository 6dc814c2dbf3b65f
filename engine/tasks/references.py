"""Edit by instruction: input pictures become references, and prompts scenes with them.

The rules are those of Z-Image Omni (arXiv 2511.22699): a clean latent and what the vision encoder
says of each picture stand in the sequence, and the prompt is cut into segments at the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image
from torch import Tensor

from engine.denoise import Condition
from engine.images.patches import grid_of, patches_of
from engine.images.pixels import pixels_of
from engine.memory.model import Model
from engine.memory.tensor_cache import TensorCache
from engine.model.config import VisionConfig
from engine.model.omni import Caption, Reference, padding
from engine.model.vae_strips import Strips
from engine.prompts.reading import TEMPLATE, read_prompt
from engine.tasks.encoding import known_or_made, latents_of, picture_key
from engine.tasks.reading import INSTRUCTION, PictureSizes, segments_around
from engine.tasks.text_to_image import Captioning, caption, check_finite, features_of


def reads_pictures(model: Model) -> bool:
    """Say whether a model reads pictures, and takes its prompts as scenes."""
    return model.checkpoint.transformer.siglip_feat_dim is not None


def read_picture(
    model: Model, picture: Image.Image, sizes: PictureSizes, strips: Strips, cache: TensorCache
) -> Reference:
    """Return what a model reads of an RGB picture; the tensors are float32 on the CPU.

    Both networks that look at it are left alone where `cache` knows the picture.
    """
    vision = model.checkpoint.vision
    if vision is None:
        raise TypeError("this model reads no pictures")
    is_whole = picture.size == sizes.seen
    seen = picture if is_whole else picture.resize(sizes.seen, Image.Resampling.LANCZOS)
    width, height = sizes.encoded
    left, top = (seen.width - width) // 2, (seen.height - height) // 2
    middle = seen.crop((left, top, left + width, top + height))
    return Reference(
        latents=latents_of(model, pixels_of(middle), strips, cache),
        features=_features(model, seen, vision, strips.on_strip, cache),
    )


def _features(
    model: Model,
    picture: Image.Image,
    vision: VisionConfig,
    check: Callable[[], None],
    cache: TensorCache,
) -> Tensor:
    """Return what the vision encoder says of a picture, [1, rows, columns, C]."""
    part = model.checkpoint.parts.vision
    if part is None:
        raise TypeError("this model reads no pictures")
    key = picture_key(model, part, vision, pixels_of(picture))
    grid = grid_of(*picture.size, vision.patch_size, vision.max_patches)
    shape = (1, *grid, vision.hidden_size)

    def see() -> Tensor:
        return model.see(*patches_of(picture, vision), check)

    return known_or_made(model, cache, key, shape, see)


def condition(
    model: Model, prompt: str, how: Captioning, references: Sequence[Reference] = ()
) -> Condition:
    """Return what a prompt and input pictures are to a model that is painted with.

    For one that reads pictures a scene, also without any; else caption tokens [P, D].
    """
    if not reads_pictures(model):
        return caption(model, prompt, how)
    return model.look(_caption(model, prompt, len(references), how), references)


def _caption(model: Model, prompt: str, pictures: int, how: Captioning) -> Caption:
    """Return the caption of a prompt in segments, made at most once per model and adapters."""
    segments = _segments(model, prompt, pictures, how)
    lengths = tuple(map(len, segments))
    spans = tuple(length + padding(length) for length in lengths)
    key = f"{pictures}\0{how.way}\0{prompt}"
    known = model.recall(key, how.adapted)
    if known is not None:
        return Caption(tokens=known, lengths=lengths, spans=spans)
    features = [features_of(model, ids, how.cache, how.check) for ids in segments]
    made = model.refine_segments(features)
    check_finite(made.tokens, model)
    model.remember(key, how.adapted, made.tokens)
    return made


def _segments(model: Model, prompt: str, pictures: int, how: Captioning) -> list[tuple[int, ...]]:
    """Return the tokens of each segment of a prompt."""
    template = INSTRUCTION if pictures else TEMPLATE
    reading = read_prompt(model.tokenizer, prompt, how.way, template)
    # Told for a known prompt too: the warning belongs to every job.
    if reading.notice is not None:
        how.warn(reading.notice)
    if not pictures:
        return [reading.ids]
    before, behind = segments_around(pictures)
    *early, last = (tuple(model.tokenizer.encode(text).ids) for text in (*before, behind))
    return [*early, reading.ids, last]
