"""Killed at any moment, the program loses no job, paints none twice, and leaves no half file."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine import JobState, Lora, Picture, Request, Search
from engine.images.metadata import read_recipe
from engine.images.open import open_picture
from engine.journal.pictures import Album
from engine.journal.store import open_store
from tests.faults.pace import assert_quick

ROOT = Path(__file__).parents[2]

# A whole program: it takes what was left, accepts more jobs, and says which it accepted.
PROGRAM = """
import io, random, sys, time
from contextlib import suppress
from pathlib import Path
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from engine import Engine, Picture, QueueFull, Request, Result, Settings
from engine.hardware import Tuning
from engine.images.metadata import make_recipe, write_text
from engine.inputs import find_input
from engine.jobs.order import WorkerState
from engine.service.links import ThreadLink
from engine.storage import atomic_write, make_folder
from engine.worker import Painter

folder, seed, wanted = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(seed)

def paint(order, hooks):
    mask = order.request.mask
    if mask is not None:
        find_input(mask, order.data_dir).read_bytes()
    make_folder(order.output.folder)
    names = order.output.file_names(order.request.count)
    if all((order.output.folder / name).exists() for name in names):
        (folder / f"twice-{order.job}").touch()
    time.sleep(chance.uniform(0, 0.05))
    pictures = tuple(one(order, index, name) for index, name in enumerate(names))
    # Between the last file and the word that it is there.
    time.sleep(chance.uniform(0, 0.05))
    return Result(
        pictures=pictures, seconds={"total": 1.0}, nfe=1, precision="fp32", plan="", peak_memory=0.0
    )

def one(order, index, name):
    own = order.request.with_values(seed=order.request.seed + index, count=1)
    recipe = make_recipe(own, model_hash="", precision="fp32", plan="", warnings=())
    texts, data = PngInfo(), io.BytesIO()
    for key, text in write_text(recipe).items():
        texts.add_itxt(key, text)
    colour = (own.seed % 256, 0, 0)
    Image.new("RGB", (64, 64), colour).save(data, "PNG", pnginfo=texts)
    path = order.output.folder / name
    atomic_write(path, data.getvalue())
    return Picture(path=path, recipe=recipe, width=64, height=64)

state = WorkerState(device="x", memory="")
painter = Painter(paint=paint, state=lambda: state, tune=lambda *_: Tuning(device="x"))
settings = Settings(data_dir=folder / "data", output_folder=folder / "out")
engine = Engine(settings, journal=True, hire=lambda: ThreadLink(lambda: painter))
for notice in engine.notices:
    sys.stdout.write(f"notice {notice}\\n")
sys.stdout.write("ready\\n")
sys.stdout.flush()
for number in range(wanted):
    mask = engine.keep_input(b"mask %d" % chance.randrange(5)) if chance.random() < 0.3 else None
    request = Request(prompt=f"{seed}-{number}", count=chance.choice((1, 1, 3)), mask=mask)
    try:
        job = engine.submit(request)
    except QueueFull:
        time.sleep(0.02)
        continue
    sys.stdout.write(f"accepted {job} {request.count}\\n")
    sys.stdout.flush()
    time.sleep(chance.uniform(0, 0.04))
while engine.queue.jobs():
    for job in engine.queue.jobs():
        if job.state == "stopped":
            with suppress(QueueFull):
                engine.queue.resume(job.id)
    time.sleep(0.01)
engine.close()
sys.stdout.write("empty\\n")
sys.stdout.flush()
"""


def run(folder: Path, seed: int, jobs: int, seconds: float | None) -> dict[str, int]:
    """Run the program, kill it after some time, and return the jobs it said it had accepted."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(seed), str(jobs)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert child.stdout.readline() == "ready\n"
        if seconds is None:
            said = child.communicate(timeout=120)[0]
            assert said.endswith("empty\n")
        else:
            time.sleep(seconds)
            os.killpg(child.pid, signal.SIGKILL)
            said = child.communicate(timeout=20)[0]
    finally:
        child.kill()
        child.wait()
    # A line may be cut in the middle.
    words = [line.split() for line in said.splitlines(keepends=True) if line.endswith("\n")]
    return {word[1]: int(word[2]) for word in words if word[0] == "accepted"}


def kill_at_random_moments(folder: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    accepted: dict[str, int] = {}
    for number in range(kills):
        accepted |= run(folder, 1000 * seed + number, 30, chance.uniform(0, 0.6))
        for path in (folder / "out").glob("[!.]*"):
            assert open_picture(path).size == (64, 64)
    run(folder, seed, 0, None)
    check(folder, accepted)


def check(folder: Path, accepted: dict[str, int]) -> None:
    """Every job that was accepted is done, once, with its own pictures, and nothing else is there.

    A job that was written down just before a kill, and of which nobody was told, may be there too.
    """
    store, notices = open_store(folder / "data")
    assert notices == ()
    rows = store.read("SELECT id, state FROM jobs")
    assert {state for _, state in rows} == {JobState.DONE}
    assert len(rows) == len({job for job, _ in rows})
    assert accepted.keys() <= {job for job, _ in rows}
    shown = [*Album(store).find(Search(most=200))]
    while more := Album(store).find(Search(most=200, before=shown[-1].id)):
        shown += more
    store.close()
    files = {path for path in (folder / "out").iterdir() if not path.name.startswith(".")}
    assert {picture.path for picture in shown} == files and len(shown) == len(files)
    prompts = [picture.request["prompt"] for picture in shown]
    assert len(shown) >= sum(accepted.values())
    for picture in shown:
        assert picture.recipe == read_recipe(picture.path)
        assert prompts.count(picture.request["prompt"]) in {1, 3}
    assert list(folder.glob("twice-*")) == []


def test_no_job_is_lost_or_doubled_by_a_few_kills(tmp_path):
    kill_at_random_moments(tmp_path, 4, seed=1)


@pytest.mark.slow
def test_no_job_is_lost_or_doubled_by_fifty_kills(tmp_path):
    kill_at_random_moments(tmp_path, 50, seed=2)


MANY = 100_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A journal of many pictures, as years of use leave it."""
    folder = tmp_path_factory.mktemp("large")
    store, _ = open_store(folder)
    chance, album = random.Random(3), Album(store)
    things = ["fox", "lake", "castle", "robot", "garden", "dragon", "ocean", "猫咪", "森林"]
    for start in range(0, MANY, 10_000):
        pictures = (_past(start + n, chance, things) for n in range(10_000))
        album.add(tuple(pictures), "" if start % 20_000 else "v", 1.0)
    store.close()
    return folder


def _past(number: int, chance: random.Random, things: list[str]) -> Picture:
    prompt = " ".join(f"a {chance.choice(things)} number{number % 5000}" for _ in range(12))
    loras = (Lora(f"lora{number % 30}.safetensors"),) if number % 3 else ()
    request = Request(prompt=prompt, seed=number, model="demo-base", loras=loras)
    recipe: dict[str, object] = {"request": request.to_json()}
    return Picture(path=Path(f"/out/{number}.png"), recipe=recipe, width=1024, height=1024)


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    [
        {}, {"words": "number4321"}, {"words": "a fox"}, {"words": "nu"}, {"words": "猫咪"},
        {"words": "zebra"}, {"model": "demo-base"}, {"lora": "lora7.safetensors", "words": "fox"},
        {"favourites": True, "words": "fox"}, {"trash": True, "words": "fox"},
        {"session": "nobody", "words": "fox"}, {"session": "v"}, {"until": 1.0, "words": "fox"},
        {"before": 2000, "words": "fox"},
    ],
    ids=str,
)  # fmt: skip
def test_a_hundred_thousand_pictures_are_searched_at_once(large, asked):
    found = list[int]()

    def first_page() -> None:
        store, notices = open_store(large)
        assert notices == ()
        found.append(len(Album(store).find(Search(**asked))))
        store.close()

    assert_quick(first_page, 0.15)
    assert max(found) <= 24
