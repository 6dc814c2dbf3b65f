"""Planning a download reads what is here already, and can be stopped meanwhile."""

from __future__ import annotations

import os
import threading

import pytest

from engine import Engine, Settings, errors
from engine.settings import MODELS
from engine.variants import by_name
from tests.engine.fakes import Script


@pytest.mark.skipif(os.name == "nt", reason="there the file would take its whole size")
@pytest.mark.parametrize("who", ["the user", "the end of the program"])
def test_reading_files_that_are_here_already_can_be_stopped(tmp_path, who):
    variant = by_name("turbo")
    source = variant.downloads[0].files[0]
    place = tmp_path / MODELS / f"turbo-{variant.downloads[0].precision}" / source.to
    place.parent.mkdir(parents=True)
    with place.open("wb") as stream:
        # As large as the true one, and without a byte on the disk.
        stream.truncate(source.size)
    stop, told = threading.Event(), []

    def plan() -> None:
        try:
            engine.plan_download("turbo", cancelled=stop.is_set)
        except errors.Cancelled as error:
            told.append(error)

    with Engine(Settings(data_dir=tmp_path), asleep=True, hire=Script().link) as engine:
        thread = threading.Thread(target=plan)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        if who == "the user":
            stop.set()
        else:
            engine.close()
        thread.join(2.0)
        assert len(told) == 1
        stop.set()
        thread.join()
