"""What the page's process foretells of a request, without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine import BadRequest, FileRejected, Fit, Lora, NotFound, Profile, Settings
from engine.hardware import Card, Host, Rates
from engine.jobs.order import WorkerState
from engine.service.forecast import foresee
from tests.architecture.sources import ROOT
from tests.engine.test_run_adapters import write_lora

GIB = 2**30
HOST = Host(total_bytes=32 * GIB, available_bytes=24 * GIB, cores=8)
FAST = Rates(link=1e10, operations={"fp32": 1e11, "bf16": 1e13, "int8": 4e13})
CPU = WorkerState(device="CPU", memory="", host=HOST, rates=FAST)


def with_card(free: int) -> WorkerState:
    card = Card(name="Card", capability=(8, 6), total_bytes=8 * GIB, free_bytes=free)
    return WorkerState(device="Card", memory="", name="cuda", card=card, host=HOST, rates=FAST)


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path, lora_folder=tmp_path)


def test_a_small_job_fits_and_its_time_is_told(ask, settings):
    told = foresee(ask(), settings, CPU)
    assert told.fit is Fit.FITS
    assert 0 < told.needed_bytes < told.budget_bytes < 24 * GIB
    assert told.seconds > 0


def test_more_pictures_and_more_steps_take_longer(ask, settings):
    one, more = (foresee(ask(steps=steps), settings, CPU) for steps in (2, 20))
    assert foresee(ask(steps=20, count=4), settings, CPU).seconds > more.seconds > one.seconds


def test_an_adapter_takes_memory_too(ask, settings, tmp_path):
    lora = write_lora(tmp_path / "style.safetensors")
    bare, dressed = (foresee(ask(loras=some), settings, CPU) for some in ((), (lora,)))
    assert dressed.needed_bytes > bare.needed_bytes
    off = ask(loras=(Lora(lora.name, 0.0),))
    assert foresee(off, settings, CPU).needed_bytes == bare.needed_bytes


def test_a_card_without_room_is_told_so_with_what_would_do(ask, settings):
    told = foresee(ask(), settings, with_card(free=360 * 2**20))
    assert told.fit is Fit.IMPOSSIBLE
    assert told.needed_bytes > told.budget_bytes
    assert told.advice


def test_the_users_limit_of_memory_counts(ask, tmp_path):
    limited = Settings(data_dir=tmp_path, vram_gb=1.0)
    assert foresee(ask(), limited, with_card(free=8 * GIB)).budget_bytes <= GIB


def test_the_users_profile_counts(ask, tmp_path):
    careful = Settings(data_dir=tmp_path, profile=Profile.VERY_LOW_RAM_LOW_VRAM)
    told = foresee(ask(), careful, with_card(free=8 * GIB))
    assert told.notes
    assert not foresee(ask(), Settings(data_dir=tmp_path), with_card(free=8 * GIB)).notes


def test_the_cpu_beside_a_card_is_known_too(ask, settings):
    assert foresee(ask(device="cpu"), settings, with_card(free=8 * GIB)).budget_bytes > 8 * GIB


def test_the_cpu_is_not_as_fast_as_the_card_that_was_measured(ask, settings):
    told = with_card(free=8 * GIB)
    assert foresee(ask(), settings, told).seconds > 0
    assert foresee(ask(device="cpu"), settings, told).seconds is None


@pytest.mark.parametrize("device", ["cuda:3", "mps"])
def test_a_device_that_nobody_looked_at_is_not_foretold(ask, settings, device):
    assert foresee(ask(device=device), settings, CPU) is None


def test_a_machine_that_told_nothing_is_not_foretold(ask, settings):
    assert foresee(ask(), settings, WorkerState(device="", memory="")) is None


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model": "/nowhere"}, NotFound),
        ({"loras": (Lora("nowhere"),)}, NotFound),
        ({"seed": 2**63 - 1, "count": 8}, BadRequest),
    ],
)
def test_what_cannot_be_painted_is_an_error(ask, settings, change, error):
    with pytest.raises(error):
        foresee(ask(**change), settings, CPU)


def test_a_damaged_adapter_is_an_error(ask, settings, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 64)
    with pytest.raises(FileRejected):
        foresee(ask(loras=(Lora("bad"),)), settings, CPU)


def test_it_leaves_torch_alone():
    program = "import sys, engine.service.forecast; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
