"""The shipped Demo models follow prompts that training never saw, to the published scores."""

from __future__ import annotations

import pytest

from engine.demo.evaluate import Adherence, evaluate
from engine.request import Precision

PROMPTS = 100
TURBO_MARGIN = 0.05
INT8_MARGIN = 0.0201


@pytest.fixture(scope="module")
def base() -> Adherence:
    return evaluate("demo-base", PROMPTS)


@pytest.mark.slow
def test_demo_base_follows_unseen_prompts(base: Adherence, record_property: object) -> None:
    assert callable(record_property)
    record_property("demo-base", str(base))
    assert base.background >= 0.98, base
    assert base.colour >= 0.95, base
    assert base.shape >= 0.85, base


@pytest.mark.slow
def test_demo_turbo_keeps_up_with_demo_base(base: Adherence, record_property: object) -> None:
    turbo = evaluate("demo-turbo", PROMPTS)
    assert callable(record_property)
    record_property("demo-turbo", str(turbo))
    assert turbo.background >= base.background - TURBO_MARGIN, turbo
    assert turbo.colour >= base.colour - TURBO_MARGIN, turbo
    assert turbo.shape >= base.shape - TURBO_MARGIN, turbo


@pytest.mark.slow
def test_int8_follows_prompts_as_float32_does(record_property: object) -> None:
    exact = evaluate("demo-turbo", PROMPTS, Precision.FP32)
    rounded = evaluate("demo-turbo", PROMPTS, Precision.INT8)
    assert callable(record_property)
    record_property("demo-turbo in int8", str(rounded))
    for part in ("background", "colour", "shape", "place"):
        assert getattr(rounded, part) >= getattr(exact, part) - INT8_MARGIN, (part, rounded)
