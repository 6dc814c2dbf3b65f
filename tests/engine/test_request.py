import json
import math

import pytest

from engine.errors import BadRequest
from engine.request import Fill, LongPrompt, Lora, Precision, Region, Request, Task

BAD_VALUES = [
    ({"width": 100}, "100", "Use 96 or 112"),
    ({"height": 1000}, "1000", "Use 992 or 1008"),
    ({"width": 48}, "48", "64"),
    ({"width": 8192, "height": 8192}, "8192 x 8192", "smaller"),
    ({"steps": 0}, "0", "1"),
    ({"steps": 2.5}, "2.5", "whole"),
    ({"steps": True}, "True", "whole"),
    ({"guidance_scale": math.nan}, "nan", "0"),
    ({"guidance_scale": math.inf}, "inf", "0"),
    ({"guidance_scale": -1.0}, "-1", "0"),
    ({"shift": 0.0}, "0", "0.01"),
    ({"cfg_truncation": 1.5}, "1.5", "1"),
    ({"step_cache": 1.5}, "1.5", "1"),
    ({"step_cache": -0.1}, "-0.1", "0"),
    ({"count": 0}, "0", "1"),
    ({"seed": -1}, "-1", "0"),
    ({"seed": 2**63}, str(2**63), "between"),
    ({"prompt": "x" * 1_000_000}, "1,000,000", "Shorten"),
    ({"prompt": "a\0b"}, "NUL", "Remove"),
    ({"prompt": None}, "None", "text"),
    ({"negative": 7}, "7", "text"),
    ({"precision": "fp8"}, "fp8", "bf16"),
    ({"precision": []}, "[]", "bf16"),
    ({"sampler": []}, "[]", "name"),
    ({"device": 5}, "5", "name"),
    ({"device": "x" * 99}, "xxx", "name"),
    ({"seed": 10**5000}, "far too large", "between"),
    ({"guidance_scale": 10**400}, "far too large", "between"),
    ({"prompt": "caf\udce9"}, "Unicode", "UTF-8"),
]


@pytest.mark.parametrize(
    ("values", "bad", "hint"),
    BAD_VALUES,
    ids=[f"{i}-{next(iter(v[0]))}" for i, v in enumerate(BAD_VALUES)],
)
def test_a_bad_value_is_named_with_the_next_step(
    values: dict[str, object], bad: str, hint: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        Request.from_json({"prompt": "a tree", **values})
    assert bad in str(caught.value)
    assert hint in str(caught.value)


def test_a_request_survives_json() -> None:
    request = Request(
        prompt="ein Baum 🌳\n", seed=2**62, width=64, height=128, precision=Precision.BF16
    )
    assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request


def test_a_precision_may_be_given_as_plain_text() -> None:
    assert Request(prompt="a tree", precision="bf16").precision is Precision.BF16  # type: ignore[arg-type]


def test_unknown_fields_and_a_missing_prompt_are_refused() -> None:
    with pytest.raises(BadRequest, match="stepz"):
        Request.from_json({"prompt": "a tree", "stepz": 3})
    with pytest.raises(BadRequest, match="no prompt"):
        Request.from_json({})


def test_changed_values_are_checked_again() -> None:
    with pytest.raises(BadRequest, match="steps"):
        Request(prompt="a tree").with_values(steps=0)


def test_the_saved_names_of_precisions_stay() -> None:
    assert [str(value) for value in Precision] == ["auto", "fp32", "bf16", "fp16", "int8"]


def test_loras_survive_json():
    request = Request(prompt="x", loras=(Lora("a.safetensors", 0.5), Lora("b.safetensors")))
    assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request


@pytest.mark.parametrize(
    "loras",
    [
        "a.safetensors",
        ["a.safetensors"],
        [{"weight": 1.0}],
        [{"name": "a", "path": "b"}],
        [{"name": ""}],
        [{"name": "a\0b"}],
        [{"name": "a", "weight": 2.5}],
        [{"name": "a", "weight": float("nan")}],
        [{"name": "a", "weight": None}],
        [{"name": "a", "weight": True}],
        [{"name": "a"}] * 33,
    ],
)
def test_a_lora_without_name_or_with_a_wild_weight_is_refused(loras):
    with pytest.raises(BadRequest):
        Request(prompt="x", loras=loras)


def test_a_variant_is_a_short_name():
    assert Request(prompt="x", variant="base").variant == "base"
    with pytest.raises(BadRequest, match="variant"):
        Request(prompt="x", variant="")


def test_what_is_done_with_pictures_survives_json():
    request = Request(
        prompt="a red roof", images=("input:" + "0" * 64, "house.png"), mask="mask.png",
        task=Task.INPAINT, strength=0.5, feather=0, fill=Fill.COLOUR, fill_colour="#a0B0c0",
        soft=True, masked_only=True, context=64, extend=(0, 16, 32, 0),
        regions=(Region("a blue door", "door.png"),), long_prompt=LongPrompt.FULL,
    )  # fmt: skip
    assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"images": "a.png"}, "pictures must be a list, not 'a.png'"),
        ({"images": ["1", "2", "3", "4"]}, "at most 3 pictures, not 4. Leave some out"),
        ({"images": [""]}, "picture must be a path or a name"),
        ({"images": [7]}, "picture must be text"),
        ({"mask": ""}, "mask must be a path or a name"),
        ({"mask": "a\0b"}, "NUL"),
        ({"strength": 1.01}, "strength is 1.01"),
        ({"strength": math.nan}, "strength is nan"),
        ({"feather": 65}, "feather is 65"),
        ({"feather": None}, "feather must be a whole number"),
        ({"context": -1}, "context is -1"),
        ({"fill": "magic"}, "fill 'magic' is not known"),
        ({"fill_colour": "red"}, "fill colour 'red' is no colour"),
        ({"soft": 1}, "soft must be true or false"),
        ({"masked_only": None}, "masked_only must be true or false"),
        ({"extend": [1, 2, 3]}, "extend must have 4 numbers"),
        ({"extend": [1, 2, 3, 4, 5]}, "extend must have 4 numbers"),
        ({"loras": [{"name": "a"}] * 33}, "at most 32 LoRAs, not 33"),
        ({"extend": [0, 0, 0, 5000]}, "extension is 5000"),
        ({"extend": [0, 0, 0, True]}, "extension must be a whole number"),
        ({"regions": [{"prompt": "a"}]}, "A region needs a prompt and a mask"),
        ({"regions": [{"prompt": "a", "mask": ""}]}, "mask of a region must be"),
        ({"task": "paint"}, "task 'paint' is not known"),
        ({"long_prompt": []}, "long_prompt"),
    ],
)
def test_a_wrong_word_about_pictures_is_named(values, said):
    with pytest.raises(BadRequest, match=said):
        Request(prompt="a house", **values)
