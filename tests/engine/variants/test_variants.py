"""Every variant keeps the promises of its door: defaults inside limits, reasons, honest words."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import PurePosixPath

import pytest

from engine.errors import NotFound
from engine.request import Precision, Request
from engine.variants import GUIDANCE_RANGE, SHIFT_RANGE, VARIANTS, Download, Variant, by_name

EACH = pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)


def inside(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def test_names_are_unique_and_found():
    names = [variant.name for variant in VARIANTS]
    assert names == [
        "demo-turbo",
        "demo-base",
        "demo-omni",
        "turbo",
        "base",
        "twinflow-turbo",
        "de-turbo",
        "omni-base",
        "edit",
    ]
    assert [by_name(name).name for name in names] == names
    assert by_name("demo").name == "demo-turbo"


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(NotFound) as caught:
        by_name("z-image-omni")
    assert "'z-image-omni'" in caught.value.message
    assert "demo-turbo, demo-base, demo-omni, turbo, base" in caught.value.action


@EACH
def test_defaults_lie_inside_the_limits(variant: Variant):
    defaults, limits = variant.defaults, variant.limits
    assert inside(defaults.steps, limits.steps)
    assert inside(defaults.guidance_scale, limits.guidance_scale)
    assert inside(defaults.guidance_scale, GUIDANCE_RANGE)
    assert inside(defaults.shift, SHIFT_RANGE)
    assert (defaults.width, defaults.height) in {(s.width, s.height) for s in variant.sizes}


@EACH
def test_every_size_on_offer_is_a_right_request_inside_the_limits(variant: Variant):
    for size in variant.sizes:
        Request(prompt="x", model=variant.name, width=size.width, height=size.height)
        assert inside(size.width, variant.limits.sides)
        assert inside(size.height, variant.limits.sides)
        assert inside(size.width * size.height, variant.limits.pixels)


@EACH
def test_what_is_ignored_is_a_field_of_the_request_with_a_reason(variant: Variant):
    known = {field.name for field in fields(Request)}
    for ignored in variant.ignores:
        assert ignored.control in known
        assert ignored.reason.endswith(".")
    guided = variant.defaults.guidance_scale > 0
    assert ("negative" in {i.control for i in variant.ignores}) is not guided


@EACH
def test_every_example_uses_words_that_the_model_knows(variant: Variant):
    assert variant.examples
    assert [variant.unknown_words(prompt) for prompt in variant.examples] == [()] * len(
        variant.examples
    )


def test_words_the_demo_never_saw_are_named_once_in_their_order():
    prompt = "A RED zebra, a red circle; zebra's 2 Größe"
    assert by_name("demo-base").unknown_words(prompt) == ("zebra", "s", "2", "größe")


def test_a_model_of_open_language_knows_every_word():
    assert by_name("base").unknown_words("zebra") == ()


def test_the_vocabulary_is_that_of_the_captions():
    from engine.demo.captions import vocabulary

    assert by_name("demo-turbo").vocabulary == vocabulary()


def test_the_vocabulary_of_edits_is_that_of_captions_and_instructions():
    from engine.demo.instructions import edit_vocabulary

    assert by_name("demo-omni").vocabulary == edit_vocabulary()


def test_the_numbers_are_those_of_the_publication():
    base, turbo = by_name("base").defaults, by_name("turbo").defaults
    assert (base.steps, base.guidance_scale, base.shift) == (30, 4.0, 6.0)
    assert (turbo.steps, turbo.guidance_scale, turbo.shift) == (8, 0.0, 3.0)
    assert (base.width, base.height) == (turbo.width, turbo.height) == (1024, 1024)
    for name in ("omni-base", "edit"):
        assert (by_name(name).defaults.steps, by_name(name).defaults.guidance_scale) == (50, 5.0)
    assert by_name("base").limits.steps == (28, 50)
    assert by_name("base").limits.guidance_scale == (3.0, 5.0)
    assert (GUIDANCE_RANGE, SHIFT_RANGE) == ((0.0, 20.0), (1.0, 10.0))


@EACH
def test_weights_come_with_the_program_or_from_a_hub_or_the_variant_says_why_not(variant: Variant):
    ways = [variant.folder is not None, bool(variant.downloads), variant.unavailable is not None]
    assert sum(ways) == 1
    if variant.unavailable is not None:
        assert "not been published" in variant.unavailable
        assert "a file of your own" in variant.unavailable


DOWNLOADS = [(variant, download) for variant in VARIANTS for download in variant.downloads]
EACH_DOWNLOAD = pytest.mark.parametrize(
    ("variant", "download"), DOWNLOADS, ids=[f"{v.name}-{d.precision}" for v, d in DOWNLOADS]
)


@EACH_DOWNLOAD
def test_a_download_is_a_whole_model(variant: Variant, download: Download):
    paths = [PurePosixPath(file.to) for file in download.files]
    weights = {path.parent.name for path in paths if path.suffix == ".safetensors"}
    assert weights == {"transformer", "text_encoder", "vae"}
    assert {"tokenizer/tokenizer.json", "scheduler/scheduler_config.json"} < {str(p) for p in paths}
    assert len(set(paths)) == len(paths)
    assert download.precision in {Precision.BF16, Precision.INT8}
    assert len({d.precision for d in variant.downloads}) == len(variant.downloads)


@EACH_DOWNLOAD
def test_a_source_file_is_named_plainly(variant: Variant, download: Download):
    for file in download.files:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", file.repo)
        for path in (file.path, file.to):
            assert re.fullmatch(r"[\w.-]+(/[\w.-]+)*", path)
            assert ".." not in path
        assert file.size > 0
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)


def test_the_schedule_that_is_fetched_is_that_of_the_variant():
    repos = {6.0: "Tongyi-MAI/Z-Image", 3.0: "Tongyi-MAI/Z-Image-Turbo"}
    for variant, download in DOWNLOADS:
        repo = next(f.repo for f in download.files if f.to.startswith("scheduler/"))
        assert repo == repos[variant.defaults.shift]


@pytest.mark.parametrize("name", [v.name for v in VARIANTS])
def test_step_saving_has_no_use_for_models_of_few_steps_and_they_say_so(name):
    variant = by_name(name)
    few = variant.limits.steps[1] <= 12
    assert (variant.ignored("step_cache") is not None) is few
    assert variant.ignored("prompt") is None
