"""What the painter may ask of the server, and what strangers may not."""

from __future__ import annotations

import base64
import io

import pytest
from gradio.utils import get_upload_folder
from PIL import Image

from ui.painter_doors import MAX_MASK_CHARACTERS, painter_doors


@pytest.fixture
def doors(page, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    return painter_doors(page)


def png(size=(64, 48), mode="L", kind="PNG") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind)
    return stream.getvalue()


def url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def upload(data: bytes, tmp_path) -> dict[str, str]:
    folder = tmp_path / "cache" / "abc"
    folder.mkdir(parents=True)
    path = folder / "picture.png"
    path.write_bytes(data)
    assert str(path).startswith(get_upload_folder())
    return {"path": str(path)}


def test_an_uploaded_picture_is_kept_and_measured(doors, page, tmp_path):
    keep_picture, keep_masks = doors
    sent = upload(png(mode="RGB"), tmp_path)
    answer = keep_picture(sent)
    assert (answer["width"], answer["height"]) == (64, 48)
    masks = keep_masks({"picture": answer["name"], "masks": [url(png()), url(png(mode="1"))]})
    kept = page.engine.settings.data_dir / "inputs"
    for name, data in zip(masks["masks"], (png(), png(mode="1")), strict=True):
        assert (kept / name.removeprefix("input:")).read_bytes() == data


def test_an_uploaded_picture_leaves_no_copy_in_the_cache(doors, tmp_path):
    sent = upload(png(mode="RGB"), tmp_path)
    doors[0](sent)
    assert not list((tmp_path / "cache").rglob("*.png"))


@pytest.mark.parametrize("data", [b"", b"GIF89a", png()[:60], png(kind="BMP")])
def test_what_is_no_picture_is_not_kept(doors, page, tmp_path, data):
    answer = doors[0](upload(data, tmp_path))
    assert set(answer) == {"error"}
    assert not list((page.engine.settings.data_dir / "inputs").glob("*"))


@pytest.mark.parametrize("sent", [None, 5, "x", {}, {"path": 3}, {"path": "\0"}, {"path": "/etc"}])
def test_no_other_file_of_the_computer_is_kept(doors, sent):
    assert set(doors[0](sent)) == {"error"}


def test_a_picture_elsewhere_on_the_computer_is_not_kept(doors, tmp_path):
    path = tmp_path / "private.png"
    path.write_bytes(png(mode="RGB"))
    assert set(doors[0]({"path": str(path)})) == {"error"}
    assert set(doors[1]({"picture": str(path), "masks": [url(png())]})) == {"error"}


@pytest.fixture
def kept(doors, tmp_path) -> str:
    return doors[0](upload(png(mode="RGB"), tmp_path))["name"]


@pytest.mark.parametrize(
    "mask",
    [
        None, 7, "", "input:" + "0" * 64, "/etc/passwd", "data:image/png;base64,",
        "data:image/png;base64,****", "data:image/svg+xml;base64,PHN2Zz4=", "data:image/png,x",
        url(b"junk"), url(png()[:-20]), url(png((64, 64))), url(png((48, 64))),
        "data:image/png;base64," + "A" * MAX_MASK_CHARACTERS,
    ],
)  # fmt: skip
def test_a_bad_mask_is_refused_with_a_sentence(doors, kept, mask):
    answer = doors[1]({"picture": kept, "masks": [mask]})
    assert set(answer) == {"error"}
    assert len(answer["error"]) > 20


@pytest.mark.parametrize("sent", [None, [], {}, {"picture": 1, "masks": []}, {"masks": {}}])
def test_what_is_no_message_of_the_painter_is_refused(doors, sent):
    assert set(doors[1](sent)) == {"error"}


def test_more_masks_than_a_request_has_are_refused(doors, kept):
    assert set(doors[1]({"picture": kept, "masks": [url(png())] * 6})) == {"error"}


def test_a_picture_that_is_gone_is_asked_for_again(doors):
    assert doors[1]({"picture": "input:" + "0" * 64, "masks": []}) == {"missing": True}
