"""Names in files are found behind any prefix, and only whole names count."""

from __future__ import annotations

import pytest

from engine.checkpoints.keys import TRANSFORMER_DIALECTS, VAE_DIALECTS, spoken

DIFFUSERS, ORIGINAL = TRANSFORMER_DIALECTS


@pytest.mark.parametrize("prefix", ["", "x.", "model.diffusion_model.", "a.b.0.c.d."])
@pytest.mark.parametrize("dialect", [*TRANSFORMER_DIALECTS, *VAE_DIALECTS])
def test_a_dialect_is_found_behind_any_prefix(dialect, prefix):
    assert dialect.prefix_in(["other", prefix + dialect.marker]) == prefix


def test_a_name_that_only_ends_like_the_marker_is_none():
    assert DIFFUSERS.prefix_in([f"control_{DIFFUSERS.marker}"]) is None
    assert DIFFUSERS.prefix_in([f"{DIFFUSERS.marker}.x", "layers.0"]) is None


def test_of_several_prefixes_the_shortest_is_taken():
    names = [f"model_ema.diffusion_model.{ORIGINAL.marker}", f"model.{ORIGINAL.marker}"]
    assert spoken(names, TRANSFORMER_DIALECTS) == (ORIGINAL, "model.")


@pytest.mark.parametrize("ours", ["x_embedder.weight", "all_x_embedder.2-1.weight"])
def test_the_original_names_are_left_where_they_are_ours(ours):
    assert ORIGINAL.naming(ours) == (ours,)
