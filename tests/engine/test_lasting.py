"""What lasts is left alone by garbage collections; all that comes later is not."""

from __future__ import annotations

import gc
import weakref

import pytest

from engine.lasting import lasting


class Knot:
    """Refers to itself, so that only a collection can free it."""

    def __init__(self) -> None:
        self.knot = self


@pytest.fixture(autouse=True)
def _as_before():
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def test_collections_pass_over_what_lasts():
    before = gc.get_freeze_count()
    with lasting():
        kept = [Knot() for _ in range(1000)]
    assert gc.get_freeze_count() >= before + len(kept)
    assert not any(isinstance(one, Knot) for one in gc.get_objects())


def test_nothing_is_collected_before_the_end():
    with lasting():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_comes_later_is_collected_also_after_a_failure():
    with pytest.raises(ValueError, match="no such library"), lasting():
        raise ValueError("no such library")
    later = weakref.ref(Knot())
    gc.collect()
    assert later() is None
    assert gc.isenabled()


def test_collections_stay_off_where_they_were_off():
    gc.disable()
    try:
        with lasting():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
