"""A process killed while it writes leaves whole files only."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from engine.errors import FileRejected
from engine.images.open import open_picture
from engine.settings import load
from engine.storage import sweep_temporary

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KILLS = 40

# Saves pictures and settings without a pause until it is killed.
CAREFUL = """
import sys
from datetime import datetime
from pathlib import Path
from engine.settings import Settings, save
from engine.storage import atomic_write, picture_name
folder, data = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
while True:
    atomic_write(folder / picture_name(datetime.now()), data)
    atomic_write(folder / "same.png", data)
    save(Settings(vram_gb=7, data_dir=folder))
"""
CARELESS = """
import itertools, sys
from pathlib import Path
folder, data = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
for number in itertools.count():
    (folder / f"{number}.png").write_bytes(data)
    (folder / "same.png").write_bytes(data)
"""


def _kill_while_writing(script: str, folder: Path, picture: Path, chance: random.Random) -> None:
    child = subprocess.Popen([sys.executable, "-c", script, str(folder), str(picture)], cwd=ROOT)
    try:
        while not (folder / "same.png").exists():
            assert child.poll() is None
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
    finally:
        child.kill()
        child.wait()


def _half_pictures(folder: Path) -> int:
    return sum(not _is_whole(path) for path in folder.glob("[!.]*.png"))


def _is_whole(path: Path) -> bool:
    try:
        return open_picture(path).size == (900, 900)
    except FileRejected:
        return False


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Two megabytes of noise, so that a kill has a good chance to hit the writing."""
    file = io.BytesIO()
    noise = [Image.effect_noise((900, 900), 99) for _ in range(3)]
    Image.merge("RGB", noise).save(file, "PNG", compress_level=0)
    path = tmp_path / "picture.png"
    path.write_bytes(file.getvalue())
    return path


def test_no_half_file_is_ever_visible(tmp_path, picture):
    chance = random.Random(40)
    saved = left = 0
    for number in range(KILLS):
        folder = tmp_path / str(number)
        folder.mkdir()
        _kill_while_writing(CAREFUL, folder, picture, chance)
        assert _half_pictures(folder) == 0
        settings, notices = load(folder)
        assert notices == ()
        assert settings.vram_gb in {7, None}
        saved += len(list(folder.glob("[!.]*.png")))
        left += _swept(folder)
    assert saved > KILLS
    assert left > 0


def _swept(folder: Path) -> int:
    """What the next start removes once it is old enough; nothing may be left after that."""
    for path in folder.glob(".*"):
        os.utime(path, (0, 0))
    count = sweep_temporary(folder)
    assert list(folder.glob(".*")) == []
    return count


def test_the_same_kills_tear_files_that_are_written_in_place(tmp_path, picture):
    chance = random.Random(41)
    torn = 0
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        _kill_while_writing(CARELESS, folder, picture, chance)
        torn += _half_pictures(folder)
    assert torn > 0


def test_readers_never_see_settings_half_written(data_folder):
    script = (
        "import sys; from pathlib import Path; from engine.settings import Settings, save\n"
        "while True: save(Settings(vram_gb=int(sys.argv[2]), data_dir=Path(sys.argv[1])))"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(data_folder), str(number)], cwd=ROOT)
        for number in range(1, 5)
    ]
    try:
        while not (data_folder / "settings.json").exists():
            time.sleep(0.002)
        reads, end = 0, time.monotonic() + 3
        while time.monotonic() < end:
            settings, notices = load(data_folder)
            assert notices == ()
            assert settings.vram_gb in {1, 2, 3, 4}
            reads += 1
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert reads > 100
