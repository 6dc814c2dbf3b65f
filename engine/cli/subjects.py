"""What is measured: networks filled at random, and what ours and the reference do with them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.checkpoints.assemble import split
from engine.checkpoints.keys import TRANSFORMER_DIALECTS, VAE_DIALECTS, Dialect
from engine.denoise import Conditions, Denoiser, denoise
from engine.errors import NotFound
from engine.memory.studio import Place
from engine.model.config import TransformerConfig, VaeConfig
from engine.model.transformer import Transformer
from engine.model.vae import Vae, to_picture_range
from engine.request import Request
from engine.sampling.guidance import Guidance
from engine.sampling.samplers import SAMPLERS
from engine.sampling.schedules import schedule
from engine.tasks.text_to_image import noise

WEIGHT_SPREAD = 0.02
CAPTION_TOKENS = 96
STEPS, SHIFT = 8, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Sizes of the networks, and of the square pictures to paint with them."""

    transformer: TransformerConfig
    vae: VaeConfig
    sides: tuple[int, ...]


ARCHITECTURES = {
    "demo": Architecture(
        transformer=TransformerConfig(
            dim=192, n_layers=5, n_refiner_layers=1, n_heads=6, cap_feat_dim=128,
            axes_dims=(8, 12, 12),
        ),
        vae=VaeConfig(block_out_channels=(16, 32, 64, 64), layers_per_block=1, norm_num_groups=4),
        sides=(128,),
    ),
    "full": Architecture(transformer=TransformerConfig(), vae=VaeConfig(), sides=(512, 1024)),
}  # fmt: skip
WIDE = replace(ARCHITECTURES["full"].transformer, n_layers=2)
"""The full width, cut to two main layers, so that a forward fits any machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """Random networks at their place."""

    architecture: Architecture
    place: Place
    transformer: Transformer
    vae: Vae


def build(architecture: Architecture, place: Place) -> Networks:
    """Fill networks with seeded random numbers where they are to compute."""
    generator = torch.Generator(place.device).manual_seed(0)
    with torch.device("meta"):
        transformer, vae = Transformer(architecture.transformer), Vae(architecture.vae)
    return Networks(
        architecture=architecture,
        place=place,
        transformer=_filled(transformer, place.device, place.dtype, generator),
        vae=_filled(vae, place.device, place.dtype, generator),
    )


def features(architecture: Architecture, place: Place, number: int) -> Tensor:
    """Return what a text encoder might say of prompt `number`, [1, L, cap_feat_dim]."""
    generator = torch.Generator().manual_seed(number)
    shape = (1, CAPTION_TOKENS, architecture.transformer.cap_feat_dim)
    return torch.randn(shape, generator=generator).to(place.device, place.dtype)


@torch.inference_mode()
def paint(networks: Networks, side: int, number: int) -> Tensor:
    """Paint a square picture [H, W, 3] uint8 our way, from the features of prompt `number`."""
    place = networks.place
    told = features(networks.architecture, place, number)
    caption = networks.transformer.refine_caption(told)[0]
    sigmas = schedule(STEPS, SHIFT)
    denoiser = Denoiser(
        networks.transformer,
        Conditions(positive=[caption]),
        Guidance(),
        sigmas,
        (side // 8, side // 8),
    )
    start = noise(number, 1, side, side).to(place.device)
    latents = denoise(denoiser, start, sigmas, SAMPLERS["euler"], lambda step, clean: None)
    decoded = networks.vae.decode(latents.to(place.dtype))
    return to_picture_range(decoded)[0].cpu()


class Reference:
    """The reference's pipeline."""

    def __init__(self, pipeline: Any) -> None:  # noqa: ANN401
        self._pipeline = pipeline
        pipeline.set_progress_bar_config(disable=True)

    @property
    def transformer(self) -> nn.Module:
        """The network that computes once a step."""
        found: nn.Module = self._pipeline.transformer
        return found

    @torch.inference_mode()
    def paint(self, request: Request) -> None:
        """Paint what a complete request asks for."""
        self._pipeline(
            prompt=request.prompt,
            negative_prompt=request.negative,
            width=request.width,
            height=request.height,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance_scale,
            generator=torch.Generator().manual_seed(request.seed or 0),
        )

    @torch.inference_mode()
    def paint_features(self, networks: Networks, side: int, number: int) -> None:
        """Paint what `paint` paints our way."""
        place = networks.place
        self._pipeline(
            prompt_embeds=[features(networks.architecture, place, number)[0]],
            negative_prompt_embeds=[],
            width=side,
            height=side,
            num_inference_steps=STEPS,
            guidance_scale=0.0,
            latents=noise(number, 1, side, side).to(place.device),
        )


def load_reference(folder: Path, place: Place) -> Reference:
    """Return the reference with the weights of a model folder."""
    diffusers = import_reference()
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    pipeline = diffusers.ZImagePipeline.from_pretrained(
        str(folder), dtype=place.dtype, use_safetensors=True, low_cpu_mem_usage=False
    )
    return Reference(pipeline.to(place.device))


def same_reference(networks: Networks) -> Reference:
    """Return the reference over the very same weights, without a text encoder."""
    diffusers = import_reference()
    pipeline = diffusers.ZImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=_reference_vae(networks),
        text_encoder=None,
        tokenizer=None,
        transformer=reference_transformer(networks.transformer),
    )
    return Reference(pipeline)


def reference_transformer(ours: Transformer) -> nn.Module:
    """Return the reference's transformer; its weights are views of ours."""
    config = ours.config
    with torch.device("meta"):
        theirs = import_reference().ZImageTransformer2DModel(
            dim=config.dim,
            n_layers=config.n_layers,
            n_refiner_layers=config.n_refiner_layers,
            n_heads=config.n_heads,
            n_kv_heads=config.n_heads,
            cap_feat_dim=config.cap_feat_dim,
            axes_dims=list(config.axes_dims),
            axes_lens=[1536, 512, 512],
        )
    return _sharing(theirs, ours, TRANSFORMER_DIALECTS[0])


def import_reference() -> Any:  # noqa: ANN401
    """Return the diffusers package; raise `NotFound` where it is not installed."""
    if importlib.util.find_spec("diffusers") is None:
        raise NotFound(
            "diffusers is not installed, so there is nothing to compare with.",
            "Install it with pip install diffusers, or leave out --against.",
        )
    import diffusers

    return diffusers


def _reference_vae(networks: Networks) -> nn.Module:
    config = networks.vae.config
    stages = len(config.block_out_channels)
    with torch.device("meta"):
        theirs = import_reference().AutoencoderKL(
            block_out_channels=config.block_out_channels,
            layers_per_block=config.layers_per_block,
            latent_channels=config.latent_channels,
            norm_num_groups=config.norm_num_groups,
            scaling_factor=config.scaling_factor,
            shift_factor=config.shift_factor,
            use_quant_conv=False,
            use_post_quant_conv=False,
            down_block_types=["DownEncoderBlock2D"] * stages,
            up_block_types=["UpDecoderBlock2D"] * stages,
        )
    return _sharing(theirs, networks.vae, VAE_DIALECTS[0])


def _filled(
    network: Any,  # noqa: ANN401
    device: str,
    dtype: torch.dtype,
    generator: torch.Generator,
) -> Any:  # noqa: ANN401
    """Give a network on the meta device random weights; its norms scale by one."""
    network = network.to(dtype).to_empty(device=device).requires_grad_(False).eval()
    for module in network.modules():
        for name, weight in module.named_parameters(recurse=False):
            if weight.ndim > 1:
                weight.normal_(std=WEIGHT_SPREAD, generator=generator)
            else:
                weight.fill_(float(name == "weight"))
    return network


def _sharing(theirs: nn.Module, ours: nn.Module, dialect: Dialect) -> nn.Module:
    weights: dict[str, Tensor] = {}
    for name, weight in ours.state_dict().items():
        weights |= split(name, weight, dialect)
    theirs.load_state_dict(weights, assign=True)
    return theirs.eval()
