"""Our autoencoder against the reference's, with weights in both dialects."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from engine.checkpoints.assemble import Target, fill
from engine.checkpoints.header import read_header
from engine.checkpoints.keys import VAE_DIALECTS, spoken
from engine.checkpoints.weights import open_weights
from engine.model.config import VaeConfig
from engine.model.vae import Vae
from engine.model.vae_strips import Strips
from tests.reference.conftest import VAE_WIDTHS, make_vae
from tests.reference.conftest import fill as randomise

LIMIT = 1e-5
SCALE, SHIFT = 0.3611, 0.1159
SIZES = [(64, 64), (64, 96), (160, 112), (256, 256)]


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(5)
    vae = make_vae()
    randomise(vae, 0.1)
    return vae


def ldm_name(name: str) -> str:
    """Return the original name of one of the reference's weights."""
    stages = len(VAE_WIDTHS)
    parts = name.split(".")
    if parts[1] in {"down_blocks", "up_blocks"}:
        number = int(parts[2]) if parts[1] == "down_blocks" else stages - 1 - int(parts[2])
        side = parts[1].removesuffix("_blocks")
        rest = parts[4:] if parts[3] == "resnets" else parts[5:]
        inner = {"resnets": ["block"], "downsamplers": ["downsample"], "upsamplers": ["upsample"]}
        parts = [parts[0], side, str(number), *inner[parts[3]], *rest]
    elif parts[1] == "mid_block":
        middle = f"block_{int(parts[3]) + 1}" if parts[2] == "resnets" else "attn_1"
        parts = [parts[0], "mid", middle, *parts[4:]]
    words = {"conv_shortcut": "nin_shortcut", "conv_norm_out": "norm_out", "group_norm": "norm",
             "to_q": "q", "to_k": "k", "to_v": "v", "to_out": "proj_out"}  # fmt: skip
    found = ".".join(words.get(part, part) for part in parts)
    return found.replace("proj_out.0.", "proj_out.")


def in_dialect(reference, dialect: str, prefix: str) -> dict[str, torch.Tensor]:
    weights = {}
    for name, weight in reference.state_dict().items():
        if dialect == "diffusers":
            weights[prefix + name] = weight
            continue
        square = "attentions" in name and weight.ndim == 2
        weights[prefix + ldm_name(name)] = weight[..., None, None] if square else weight
    return {name: weight.contiguous() for name, weight in weights.items()}


def load(reference, path, dialect: str, prefix: str) -> Vae:
    """Write the reference's weights in a dialect, and load them the way the engine does."""
    save_file(in_dialect(reference, dialect, prefix), str(path))
    header = read_header(path)
    shapes = {name: entry.shape for name, entry in header.tensors.items()}
    found, _ = spoken(shapes, VAE_DIALECTS)
    config = VaeConfig(
        block_out_channels=VAE_WIDTHS,
        norm_num_groups=4,
        scaling_factor=SCALE,
        shift_factor=SHIFT,
    )
    with torch.device("meta"):
        vae = Vae(config)
    with open_weights([header]) as source:
        fill(vae, source, found, Target("vae", torch.float32, torch.device("cpu")))
    return vae.eval()


@pytest.fixture(scope="module")
def ours(reference, tmp_path_factory) -> Vae:
    return load(reference, tmp_path_factory.mktemp("vae") / "vae.safetensors", "diffusers", "")


@torch.inference_mode()
@pytest.mark.parametrize("prefix", ["", "first_stage_model.", "vae."])
def test_original_names_give_the_same_autoencoder(prefix, ours, reference, tmp_path):
    original = load(reference, tmp_path / "ae.safetensors", "ldm", prefix)
    weights = original.state_dict()
    assert all(torch.equal(weights[name], weight) for name, weight in ours.state_dict().items())


def picture(width: int, height: int) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.inference_mode()
@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_encoding_equals_the_references(size, ours, reference, measured):
    mode = reference.encode(picture(*size)).latent_dist.mode()
    measured(ours.encode(picture(*size)), (mode - SHIFT) * SCALE, LIMIT)


@torch.inference_mode()
@pytest.mark.parametrize("rows", [None, 16, 24])
@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_decoding_equals_the_references_in_one_piece_and_in_strips(
    size, rows, ours, reference, measured
):
    generator = torch.Generator().manual_seed(2)
    latents = torch.randn(2, 16, size[1] // 8, size[0] // 8, generator=generator)
    theirs = reference.decode(latents / SCALE + SHIFT).sample
    measured(ours.decode(latents, Strips(rows)), theirs, LIMIT)
