"""What other programs get from the page, asked through Gradio's own client."""

from __future__ import annotations

from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from engine import Request, read_recipe


@pytest.fixture(scope="module")
def client(served, tmp_path_factory):
    return Client(
        served.url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"),
        analytics_enabled=False,
    )  # fmt: skip


def test_the_endpoint_takes_the_fields_of_a_request_by_name(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/generate"}
    offered = {p["parameter_name"]: p for p in endpoints["/generate"]["parameters"]}
    assert set(offered) <= set(Request(prompt="").to_json())
    assert offered["count"]["parameter_default"] == 1
    assert not {"device", "loras"} & set(offered)


def test_a_picture_comes_with_its_recipe(client):
    (made,) = client.predict(prompt="a hill", seed=7, steps=3, api_name="/generate")
    assert made["recipe"]["request"]["seed"] == 7
    with Image.open(made["picture"]) as picture:
        assert picture.format == "PNG"
    assert read_recipe(Path(made["picture"])) == made["recipe"]


def test_several_pictures_come_in_order(client):
    made = client.predict(prompt="a hill", seed=7, count=2, api_name="/generate")
    assert [one["recipe"]["request"]["seed"] for one in made] == [7, 8]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 0}, "number of steps is 0"),
        ({"width": 100}, "width is 100"),
        ({"guidance_scale": "much"}, "guidance must be a number"),
        ({"model": "/etc"}, "etc"),
        ({"prompt": "NaN"}, "no picture"),
    ],
)
def test_a_fault_is_told_in_one_sentence(client, wrong, sentence):
    with pytest.raises(AppError, match=sentence):
        client.predict(**{"prompt": "a hill", **wrong}, api_name="/generate")
