"""What other programs get from the page, asked through Gradio's own client."""

from __future__ import annotations

from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from engine import Request, read_recipe
from tests.ui.fake_catalogue import put_lora


@pytest.fixture(scope="module")
def client(served, tmp_path_factory):
    return Client(
        served.url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"),
        analytics_enabled=False,
    )  # fmt: skip


def test_the_endpoint_takes_the_fields_of_a_request_by_name(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/generate", "/edit", "/inpaint"}
    offered = {p["parameter_name"]: p for p in endpoints["/generate"]["parameters"]}
    assert set(offered) <= set(Request(prompt="").to_json())
    assert offered["count"]["parameter_default"] == 1
    assert {"loras", "lora_partial", "variant"} <= set(offered)
    assert not {"device", "precision"} & set(offered)


def test_each_endpoint_takes_what_the_command_of_its_name_takes(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    offered = {
        name: {p["parameter_name"] for p in endpoint["parameters"]}
        for name, endpoint in endpoints.items()
    }
    assert offered["/edit"] - offered["/generate"] == {"images", "strength", "task"}
    assert {"mask", "feather", "extend", "regions"} <= offered["/inpaint"] - offered["/edit"]


@pytest.fixture
def drawn(tmp_path) -> str:
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "input.png")
    return str(tmp_path / "input.png")


def test_a_picture_is_edited_by_what_was_uploaded(client, drawn):
    asked = {"images": [handle_file(drawn)], "strength": 0.4, "prompt": "a hill"}
    (made,) = client.predict(**asked, api_name="/edit")
    told = made["recipe"]["request"]
    assert (told["strength"], len(told["images"])) == (0.4, 1)
    assert told["images"][0].startswith("input:")


def test_a_mask_and_its_regions_are_uploaded_too(client, drawn):
    picture = handle_file(drawn)
    asked = {
        "images": [picture], "mask": picture, "feather": 4, "prompt": "a hill",
        "regions": [{"prompt": "a door", "mask": picture}],
    }  # fmt: skip
    (made,) = client.predict(**asked, api_name="/inpaint")
    told = made["recipe"]["request"]
    assert told["mask"] == told["regions"][0]["mask"] == told["images"][0]
    assert told["task"] == "inpaint"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"images": []}, "no picture to change"),
        ({"images": "x.png"}, "must be a list"),
        ({"images": ["/etc/passwd"]}, "did not arrive"),
        ({"images": [{"path": "/etc/passwd"}]}, "did not arrive"),
        ({"images": ["input:" + "0" * 64]}, "did not arrive"),
    ],
)
def test_no_file_is_read_that_was_not_uploaded(client, wrong, sentence):
    with pytest.raises(AppError, match=sentence):
        client.predict(prompt="a hill", **wrong, api_name="/edit")


def test_a_picture_comes_with_its_recipe(client):
    (made,) = client.predict(prompt="a hill", seed=7, steps=3, api_name="/generate")
    assert made["recipe"]["request"]["seed"] == 7
    with Image.open(made["picture"]) as picture:
        assert picture.format == "PNG"
    assert read_recipe(Path(made["picture"])) == made["recipe"]


def test_several_pictures_come_in_order(client):
    made = client.predict(prompt="a hill", seed=7, count=2, api_name="/generate")
    assert [one["recipe"]["request"]["seed"] for one in made] == [7, 8]


@pytest.fixture(scope="module")
def adapters(studio):
    """Adapters in the folder: one that fits, one that fits in part, one that does not."""
    for name in ("ink", "half", "stranger"):
        put_lora(studio.settings.lora_folder, name)


def test_adapters_are_given_by_name_and_weight(client, adapters):
    asked = {"loras": [{"name": "ink.safetensors", "weight": -0.5}], "prompt": "a hill"}
    (made,) = client.predict(**asked, api_name="/generate")
    assert made["recipe"]["request"]["loras"] == asked["loras"]


def test_an_adapter_that_fits_in_part_needs_leave(client, adapters):
    asked = {"loras": [{"name": "half.safetensors"}], "lora_partial": True, "prompt": "a hill"}
    assert client.predict(**asked, api_name="/generate")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 0}, "number of steps is 0"),
        ({"width": 100}, "width is 100"),
        ({"guidance_scale": "much"}, "guidance must be a number"),
        ({"model": "/etc"}, "etc"),
        ({"prompt": "NaN"}, "no picture"),
        ({"loras": [{"name": "nowhere"}]}, "There is no LoRA"),
        ({"loras": [{"name": "ink.safetensors", "weight": 3}]}, "between -2 and 2"),
        ({"loras": [{"name": "stranger.safetensors"}]}, "not for Z-Image"),
        ({"loras": [{"name": "half.safetensors"}]}, "does not fit this model"),
        ({"loras": "ink"}, "must be a list"),
        ({"lora_partial": "yes"}, "true or false"),
        ({"variant": ""}, "variant"),
    ],
)
def test_a_fault_is_told_in_one_sentence(client, adapters, wrong, sentence):
    with pytest.raises(AppError, match=sentence):
        client.predict(**{"prompt": "a hill", **wrong}, api_name="/generate")
