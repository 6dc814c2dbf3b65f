import pytest
import torch

from engine.model.rope import caption_positions, image_positions, rotate, rotation


def test_captions_count_from_one_and_images_follow() -> None:
    assert caption_positions(3).tolist() == [[1, 0, 0], [2, 0, 0], [3, 0, 0]]
    found = image_positions(4, 2, 2, pads=1).tolist()
    assert found == [[4, 0, 0], [4, 0, 1], [4, 1, 0], [4, 1, 1], [0, 0, 0]]


def test_position_zero_is_not_rotated() -> None:
    x = torch.randn(1, 2, 3, 12)
    angles = rotation(torch.zeros(1, 2, 3, dtype=torch.int64), (4, 4, 4), 256.0)
    assert torch.equal(rotate(x, angles), x)


def test_rotation_keeps_lengths_and_depends_on_distance_alone() -> None:
    x = torch.randn(1, 1, 1, 12, generator=torch.Generator().manual_seed(0)).expand(1, 5, 1, 12)
    angles = rotation(image_positions(1, 1, 5).unsqueeze(0), (4, 4, 4), 256.0)
    turned = rotate(x, angles)[0, :, 0]
    assert turned.norm(dim=-1).tolist() == pytest.approx([x[0, 0, 0].norm().item()] * 5, rel=1e-5)
    products = turned @ turned.T
    assert products[0, 2].item() == pytest.approx(products[2, 4].item(), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_path_without_complex_numbers_gives_the_same(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(2, 9, 3, 12).to(dtype)
    angles = rotation(image_positions(40, 3, 3).unsqueeze(0), (4, 4, 4), 256.0)
    eager = rotate(x, angles)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.allclose(rotate(x, angles).float(), eager.float(), atol=1e-6, rtol=1e-2)
