"""Where the public weights come from: repositories, paths, sizes and hashes, as data.

Sizes and SHA-256 sums are those of the repositories' large-file pointers. `sha256=None`: not known
here; the hub's own sum is then taken when the file is fetched, and the size is about right.
"""

from __future__ import annotations

from typing import Final

from engine.request import Precision
from engine.variants.spec import Download, SourceFile

OFFICIAL_TURBO: Final = "Tongyi-MAI/Z-Image-Turbo"
OFFICIAL_BASE: Final = "Tongyi-MAI/Z-Image"
SPLIT_TURBO: Final = "Comfy-Org/z_image_turbo"
SPLIT_BASE: Final = "Comfy-Org/z_image"
QUANTO: Final = "DeepBeepMeep/Z-Image"

TRANSFORMER_BYTES: Final = 12_309_866_400
TRANSFORMER_INT8_BYTES: Final = 6_886_911_519

TOKENIZER: Final = SourceFile(
    repo=OFFICIAL_TURBO,
    path="tokenizer/tokenizer.json",
    to="tokenizer/tokenizer.json",
    size=11_422_654,
    sha256="aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4",
)
TRANSFORMER_CONFIG: Final = SourceFile(
    repo=OFFICIAL_TURBO,
    path="transformer/config.json",
    to="transformer/config.json",
    size=473,
    sha256="06d49d1ae533f825c4704cc616fc8bc7826e9d449dde292cc7a95163c69af24a",
)
TEXT_ENCODER_CONFIG: Final = SourceFile(
    repo=OFFICIAL_TURBO,
    path="text_encoder/config.json",
    to="text_encoder/config.json",
    size=726,
    sha256="8ba006f74fecfaaeb392872a60f4a480e7ec9860153d2e1b769ec81f9a147f8a",
)
VAE_CONFIG: Final = SourceFile(
    repo=OFFICIAL_TURBO,
    path="vae/config.json",
    to="vae/config.json",
    size=805,
    sha256="e80af1e64a71883a9d10c3159d2e493e5934508da57852f6a180ae6ae63b14bd",
)
TURBO_SCHEDULER: Final = SourceFile(
    repo=OFFICIAL_TURBO,
    path="scheduler/scheduler_config.json",
    to="scheduler/scheduler_config.json",
    size=173,
    sha256="3b979ab0956e4f5e8d02ec409ac6a4ece1555191d15bd10788fdc85fea5d13fc",
)
BASE_SCHEDULER: Final = SourceFile(
    repo=OFFICIAL_BASE,
    path="scheduler/scheduler_config.json",
    to="scheduler/scheduler_config.json",
    size=173,
    sha256=None,
)

TEXT_ENCODER: Final = SourceFile(
    repo=SPLIT_TURBO,
    path="split_files/text_encoders/qwen_3_4b.safetensors",
    to="text_encoder/qwen_3_4b.safetensors",
    size=8_044_982_048,
    sha256="6c671498573ac2f7a5501502ccce8d2b08ea6ca2f661c458e708f36b36edfc5a",
)
TEXT_ENCODER_INT8: Final = SourceFile(
    repo=QUANTO,
    path="Qwen3/qwen3_quanto_bf16_int8.safetensors",
    to="text_encoder/qwen3_quanto_bf16_int8.safetensors",
    size=4_411_000_000,
    sha256=None,
)
VAE: Final = SourceFile(
    repo=SPLIT_TURBO,
    path="split_files/vae/ae.safetensors",
    to="vae/ae.safetensors",
    size=335_304_388,
    sha256="afc8e28272cd15db3919bacdb6918ce9c1ed22e96cb12c4d5ed0fba823529e38",
)


def transformer(repo: str, path: str, size: int, sha256: str | None) -> SourceFile:
    """Return a transformer's file, laid down under its own name."""
    name = path.rsplit("/", 1)[-1]
    return SourceFile(repo=repo, path=path, to=f"transformer/{name}", size=size, sha256=sha256)


def full(weights: SourceFile, scheduler: SourceFile) -> Download:
    """Return all files of a bfloat16 model."""
    return Download(
        precision=Precision.BF16,
        files=(weights, TEXT_ENCODER, VAE, *_small_files(scheduler)),
    )


def small(weights: SourceFile, scheduler: SourceFile) -> Download:
    """Return all files of a model whose transformer and text encoder are stored in int8."""
    return Download(
        precision=Precision.INT8,
        files=(weights, TEXT_ENCODER_INT8, VAE, *_small_files(scheduler)),
    )


def _small_files(scheduler: SourceFile) -> tuple[SourceFile, ...]:
    return (TOKENIZER, scheduler, TRANSFORMER_CONFIG, TEXT_ENCODER_CONFIG, VAE_CONFIG)
