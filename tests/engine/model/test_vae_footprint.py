"""How much memory a decode needs: counted, and reckoned without PyTorch."""

from __future__ import annotations

import pytest
import torch

from engine.model import vae_attention, vae_footprint, vae_strips
from engine.model.config import VaeConfig
from engine.model.vae import Vae
from engine.model.vae_footprint import decode_footprint, encode_footprint
from engine.model.vae_strips import WHOLE, Strips
from tests.engine.fake_memory import DEVICE, fake, peak_bytes, placed

FULL = VaeConfig()
MIB = 2**20
SIZES = [(64, 64), (128, 128), (512, 512), (768, 1344), (1920, 1088)]
CUTS = [WHOLE, Strips(64), Strips(32), Strips(64, on_host=True)]


def name(value: object) -> str:
    return f"{value.rows}{' on host' * value.on_host}" if isinstance(value, Strips) else str(value)


@pytest.fixture(scope="module")
def counted():
    """Return what counts the bytes that a decode or an encode holds on a kind of device."""
    with pytest.MonkeyPatch.context() as patch, fake():
        # Fake maps cannot be doubled with their channels last; as many bytes lie in either order.
        patch.setattr(vae_strips, "layout", lambda weight: torch.contiguous_format)
        vae = placed(Vae(FULL), torch.bfloat16)

        def count(size, strips, kind="cuda", *, encode=False) -> int:
            width, height = size if encode else (side // 8 for side in size)
            shape = (1, 3 if encode else 16, height, width)
            work = vae.encode if encode else vae.decode
            given = torch.empty(shape, dtype=torch.bfloat16, device=DEVICE)
            return peak_bytes(lambda x: work(x, strips), given, kind=kind)

        yield count


@pytest.mark.parametrize("strips", CUTS, ids=name)
@pytest.mark.parametrize("size", SIZES, ids=name)
def test_the_closed_form_is_never_below_the_count_and_little_above(size, strips, counted):
    found = counted(size, strips)
    said = decode_footprint(FULL, *size, 2, strips.rows, strips.on_host)
    assert found <= said <= 1.15 * found + 4 * MIB


@pytest.mark.parametrize("strips", CUTS, ids=name)
@pytest.mark.parametrize("size", SIZES[1:4:2], ids=name)
def test_nor_is_that_of_an_encode(size, strips, counted):
    found = counted(size, strips, encode=True)
    said = encode_footprint(FULL, *size, 2, strips.rows, strips.on_host)
    assert found <= said <= 1.15 * found + 4 * MIB


def test_a_megapixel_is_decoded_in_strips_within_800_mib(counted):
    assert counted((1024, 1024), Strips(32)) <= 800 * MIB


def test_with_maps_on_the_host_the_device_holds_what_the_width_asks_for(counted):
    cut = Strips(64, on_host=True)
    square, tall = counted((1024, 1024), cut), counted((1024, 2048), cut)
    assert square <= 90 * MIB
    assert tall <= square + MIB
    assert counted((1024, 1024), cut, "cpu") >= 768 * MIB


def test_a_megapixel_is_encoded_in_strips_within_600_mib(counted):
    assert counted((1024, 1024), Strips(32), encode=True) <= 600 * MIB
    assert counted((1024, 1024), Strips(32, on_host=True), encode=True) <= 90 * MIB


def test_a_closed_form_grows_with_the_picture_and_with_the_strip():
    sides = [decode_footprint(FULL, side, side, 2, 32, False) for side in range(64, 2049, 64)]
    assert sides == sorted(sides)
    rows = [decode_footprint(FULL, 1024, 1024, 2, rows, False) for rows in (8, 16, 64, None)]
    assert rows == sorted(rows)


def test_the_closed_form_knows_the_sizes_that_the_modules_compute_with():
    assert (vae_footprint.QUERIES, vae_footprint.PAGE, vae_footprint.SCORE_BYTES) == (
        vae_attention.QUERIES, vae_attention.PAGE, vae_attention.SCORE_BYTES,
    )  # fmt: skip
    assert vae_footprint.STATISTICS_BYTES == vae_strips.STATISTICS_BYTES
