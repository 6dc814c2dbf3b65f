"""The planner: never over budget, and as fast as a budget allows."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import pairwise

import pytest

from engine.errors import OutOfMemory
from engine.hardware import Host, Rates
from engine.memory import pieces
from engine.memory.backing import pinnable
from engine.memory.budget import CONTEXT_BYTES
from engine.memory.choices import FRAGMENTS, SLACK, STRIP_PIXELS, WORKSPACE, Case
from engine.memory.ledger import Ledger
from engine.memory.pieces import Tour, model_sizes
from engine.memory.plan import (
    Budget,
    Decode,
    Source,
    Wish,
    can_keep,
    least_bytes,
    make_plan,
    workable_size,
)
from engine.memory.work import GIB, MIB, batches
from engine.settings import Profile
from tests.engine.memory.true_sizes import (
    BF16,
    EVERY,
    FP32,
    INT8,
    PUBLIC,
    RTX_3060,
    RTX_4090,
    card,
    footprint,
    sizes,
    work,
)

TINY = replace(PUBLIC, transformer=replace(PUBLIC.transformer, dim=480, n_layers=4, n_heads=4))
CASES = 10_000


def plan(budget, job=None, numbers=INT8, wish=None, kept=None):
    return make_plan(job or work(), sizes(numbers), footprint(numbers), budget, wish, kept)


def resident(found, tour):
    """How many pieces of a tour a plan keeps on the device."""
    return next(kept for name, kept, _ in found.resident if name == tour)


def weights(found, of):
    """The bytes on the device that a plan's weights and slots take."""
    kept = sum(piece.bytes for piece in of.pieces if piece.name not in found.streamed)
    idle = 0 if found.streamed else of.idle_bytes
    is_host = found.device in {"cpu", "mps"}
    table = of.embedding_bytes if is_host and found.holds(Tour.READ) else 0
    return of.fixed_bytes + kept + idle + table + found.slots * found.slot_bytes


def moving(found, job, of, worker):
    """The bytes of activations of a plan's stages, at least."""
    sequences = found.batch * job.branches
    schedule = job.evaluations * of.step_bytes
    saved = 3 * job.saves_steps * sequences * job.tokens * of.token_bytes
    return max(
        worker.denoise(job.tokens, sequences) + schedule + saved,
        worker.encode(job.prompt_tokens),
        worker.decode(job.width, job.height, found.decode),
        *(worker.encode_picture(*size, found.decode) + of.idle_bytes for size in job.encodes),
    )


def drawn(rng):
    """A machine, a job and a wish of any kind."""
    host = Host(
        total_bytes=(total := rng.choice([0, 4, 8, 16, 32, 64, 128]) * GIB),
        available_bytes=int(total * rng.random()),
    )
    budget = Budget(
        device=rng.choice(["cuda", "cuda", "cuda:1", "cpu", "mps"]),
        device_bytes=int(rng.choice([0.5, 1, 2, 4, 8, 16, 32, 48]) * GIB * (0.3 + rng.random())),
        host=host,
        rates=rng.choice([Rates(), RTX_3060, RTX_4090]),
    )
    job = work(
        width=16 * rng.randint(4, 160),
        height=16 * rng.randint(4, 160),
        count=rng.choice([1, 1, 2, 4, 9]),
        evaluations=rng.choice([1, 8, 30, 100]),
        guided=rng.random() < 0.5,
        prompt_tokens=rng.choice([1, 128, 512]),
        saves_steps=rng.random() < 0.2,
        encodes=((16 * rng.randint(4, 160), 16 * rng.randint(4, 160)),) * rng.choice([0, 0, 1, 2]),
        prompts=rng.choice([1, 1, 1, 3]),
    )
    wish = Wish(
        profile=rng.choice(list(Profile)),
        tile=rng.random() < 0.2,
        no_residents=rng.random() < 0.2,
        stream_encoder=rng.random() < 0.2,
        batch=rng.choice([None, None, 1, 2]),
    )
    return budget, job, wish


def test_no_plan_of_ten_thousand_is_over_budget():
    rng = random.Random(0)
    models = [
        (model_sizes(networks, numbers), replace(footprint(numbers), networks=networks))
        for networks in (PUBLIC, TINY)
        for numbers in EVERY
    ]
    planned = 0
    for _ in range(CASES):
        (of, worker), (budget, job, wish) = rng.choice(models), drawn(rng)
        try:
            found = make_plan(job, of, worker, budget, wish)
        except OutOfMemory:
            assert Case(job, of, worker, budget, wish).least() > budget.device_bytes
            continue
        planned += 1
        taken = weights(found, of) + moving(found, job, of, worker)
        assert taken <= found.peak_bytes <= budget.device_bytes
        assert found.pinned_bytes <= max(0, budget.host.available_bytes) or found.slots
        largest = {piece.name: piece.bytes for piece in of.pieces}
        assert all(largest[name] <= found.slot_bytes for name in found.streamed)
        assert bool(found.streamed) == (found.slots in {2, 3}) == (found.slot_bytes > 0)
    assert CASES * 0.5 < planned < CASES * 0.95


def test_a_plan_is_the_same_every_time():
    assert plan(card(6)) == plan(card(6))


@pytest.mark.parametrize(("side", "most"), [(512, 1.05e9), (1024, 1.2e9), (2048, 1.75e9)])
def test_the_smallest_workable_budget_is_small(side, most):
    least = least_bytes(work(side), sizes(), footprint(), card(0))
    assert least + CONTEXT_BYTES <= most
    found = plan(replace(card(0), device_bytes=least), work(side))
    assert found.peak_bytes <= least
    with pytest.raises(OutOfMemory):
        plan(replace(card(0), device_bytes=least - 1), work(side))


def test_what_is_impossible_says_what_would_do():
    with pytest.raises(OutOfMemory) as raised:
        plan(card(1.0), work(2048))
    message, action = raised.value.message, raised.value.action
    assert "2048 x 2048 in int8 needs at least 1.6 GB" in message
    assert "1.0 GB may be used" in message
    width, height = workable_size(work(2048), sizes(), footprint(), card(1.0))
    assert f"{width} x {height}" in action
    assert plan(card(1.6), work(2048)).peak_bytes <= 1.6 * GIB
    assert plan(card(1.0), work(width)).peak_bytes <= GIB
    with pytest.raises(OutOfMemory):
        plan(card(1.0), work(width + 16))


def test_what_no_size_makes_possible_says_so():
    with pytest.raises(OutOfMemory) as raised:
        plan(card(0.5))
    assert raised.value.action == "Close other programs."
    with pytest.raises(OutOfMemory, match="precision int8"):
        plan(card(0.5), numbers=BF16)


def test_a_size_that_works_has_the_shape_that_was_asked_for():
    job = work(width=2048, height=1024)
    width, height = workable_size(job, sizes(), footprint(), card(1.0))
    assert 1.8 < width / height < 2.2
    assert workable_size(job, sizes(), footprint(), card(0.4)) is None


TABLE = [
    # GB, pieces of 40 that stay for DENOISE, whether the encoder, the whole model, maps on the host
    (4, range(11, 18), False, False, False),
    (6, range(24, 31), False, False, False),
    (8, range(40, 41), False, False, False),
    (12, range(40, 41), True, True, False),
    (16, range(40, 41), True, True, False),
    (24, range(40, 41), True, True, False),
]


@pytest.mark.parametrize(("gb", "kept", "encoder", "whole", "on_host"), TABLE)
def test_each_card_keeps_what_it_can(gb, kept, encoder, whole, on_host):
    found = plan(card(gb))
    assert resident(found, Tour.DENOISE) in kept
    assert found.holds(Tour.READ) == encoder
    assert (not found.streamed) == whole
    assert found.decode.on_host == on_host


@pytest.mark.parametrize("side", [512, 1024, 2048])
@pytest.mark.parametrize("gb", [4, 6, 8, 12, 16, 24])
def test_a_small_card_is_as_fast_as_a_large_one_with_the_same_chip(side, gb):
    ample = plan(card(48), work(side)).seconds
    assert plan(card(gb), work(side)).seconds <= (1.15 if side == 512 else 1.05) * ample


def test_more_memory_never_means_more_time():
    times = [plan(card(gb / 4), work()).seconds for gb in range(5, 60)]
    assert all(later <= 1.011 * before for before, later in pairwise(times))


@pytest.mark.parametrize("gb", [2, 4, 6, 8])
def test_residents_are_spread_over_the_tour(gb):
    found = plan(card(gb), work(512))
    names = [piece.name for piece in sizes().tour(Tour.DENOISE)]
    kept = [index for index, name in enumerate(names) if name not in found.streamed]
    gaps = [later - before for before, later in pairwise(kept)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_third_slot_is_taken_where_copies_are_hidden_and_a_resident_piece_where_not():
    assert plan(card(4), work(2048)).slots == 3
    assert plan(card(2, rates=RTX_4090), work(512)).slots == 2


def test_what_is_visited_less_often_stays_last():
    for gb in range(2, 12):
        found = plan(card(gb))
        order = [Tour.DENOISE, Tour.DECODE, Tour.MODULATE, Tour.REFINE, Tour.READ]
        whole = [found.holds(tour) for tour in order]
        assert whole == sorted(whole, reverse=True)


def test_guidance_and_more_pictures_share_the_copies():
    slow_link = replace(card(4), rates=replace(RTX_4090, link=6e9))
    one = plan(slow_link, work(512)).seconds
    assert plan(slow_link, work(512, guided=True)).seconds < 1.5 * one
    assert plan(slow_link, work(512, count=2)).batch == 2
    assert plan(slow_link, work(512, count=2)).seconds < 1.6 * one


@pytest.mark.parametrize(
    ("count", "batch", "split"),
    [(1, 1, [1]), (3, 4, [3]), (4, 4, [4]), (5, 4, [4, 1]), (9, 4, [4, 4, 1])],
)
def test_pictures_are_denoised_batch_by_batch(count, batch, split):
    assert batches(count, batch) == split


def test_pictures_are_painted_one_by_one_where_two_do_not_fit():
    least = least_bytes(work(), sizes(), footprint(), card(0))
    assert plan(replace(card(0), device_bytes=least), work(count=4)).batch == 1
    assert plan(card(24), work(count=4)).batch == 4
    assert plan(card(24), work(2048, count=4)).batch == 1


def test_steps_are_saved_picture_by_picture():
    assert plan(card(24), work(count=4, saves_steps=True)).batch == 1


@pytest.mark.parametrize(
    ("total", "available", "source", "encoder"),
    [
        (64, 60, Source.PINNED, Source.PINNED),
        (12, 11.9, Source.PINNED, Source.PAGED),
        (16, 10, Source.PINNED, Source.FILE),
        (8, 7.5, Source.PAGED, Source.FILE),
        (8, 4, Source.FILE, Source.FILE),
        (0, 0, Source.PAGED, Source.PAGED),
    ],
)
def test_the_computers_memory_decides_where_pieces_wait(total, available, source, encoder):
    host = Host(total_bytes=int(total * GIB), available_bytes=int(available * GIB))
    found = plan(card(3, host))
    assert (found.source, found.encoder_source) == (source, encoder)
    assert found.keep_encoder == (encoder is not Source.FILE)
    if available:
        assert found.pinned_bytes <= max(0, (total - 4) * GIB) or source is not Source.PINNED
        assert found.host_bytes <= available * GIB


def test_an_encoder_on_the_card_stays_however_little_the_computer_has():
    for available in (0.5, 1, 4):
        poor = Host(total_bytes=4 * GIB, available_bytes=int(available * GIB))
        found = plan(card(24, poor))
        assert found.streamed == frozenset()
        assert found.keep_encoder
        assert found.host_bytes == sizes().embedding_bytes


def test_windows_pins_less():
    host = Host(total_bytes=16 * GIB, available_bytes=15 * GIB)
    assert pinnable(host, "linux") == 12 * GIB
    assert pinnable(host, "win32") == int(6.4 * GIB)
    assert pinnable(Host(), "linux") == 0


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_beside_a_device_of_the_computers_memory_pieces_wait_on_the_disk(device):
    budget = replace(card(0), device=device, device_bytes=6 * GIB)
    found = plan(budget)
    assert found.source is Source.FILE
    assert found.pinned_bytes == 0
    assert not found.decode.on_host
    assert 0 < resident(found, Tour.DENOISE) < 40


def test_the_cpu_keeps_the_whole_model_where_it_fits():
    budget = replace(card(0), device="cpu", device_bytes=13 * GIB)
    found = plan(budget)
    assert found.streamed == frozenset()
    assert found.host_bytes == sizes().embedding_bytes
    assert plan(replace(budget, device_bytes=10 * GIB)).streamed


def test_the_cpu_decodes_in_strips_that_a_user_can_cancel():
    budget = replace(card(0), device="cpu", device_bytes=64 * GIB)
    rows = plan(budget, work(1024)).decode.rows
    assert rows is not None
    assert rows * 1024 <= STRIP_PIXELS
    assert plan(budget, work(512)).decode.rows is None


def test_a_profile_of_little_vram_keeps_nothing_on_the_card():
    for profile in (Profile.HIGH_RAM_LOW_VRAM, Profile.LOW_RAM_LOW_VRAM):
        found = plan(card(24), wish=Wish(profile=profile))
        assert len(found.streamed) == len(sizes().pieces)
        assert found.peak_bytes < 3 * GIB


def test_a_profile_of_little_ram_lets_the_encoder_go():
    for profile in (Profile.LOW_RAM_HIGH_VRAM, Profile.LOW_RAM_LOW_VRAM):
        found = plan(card(24), wish=Wish(profile=profile))
        assert not found.keep_encoder
    assert plan(card(24), wish=Wish(profile=Profile.LOW_RAM_HIGH_VRAM)).holds(Tour.DENOISE)
    least = plan(card(24), wish=Wish(profile=Profile.VERY_LOW_RAM_LOW_VRAM))
    assert least.source is Source.FILE
    assert least.host_bytes < GIB


def test_little_vram_says_nothing_of_the_cpu():
    budget = replace(card(0), device="cpu", device_bytes=16 * GIB)
    found = plan(budget, wish=Wish(profile=Profile.HIGH_RAM_LOW_VRAM))
    assert found.streamed == frozenset()


def test_a_profile_of_plenty_plans_as_automatic_does():
    wish = Wish(profile=Profile.HIGH_RAM_HIGH_VRAM)
    assert plan(card(8), wish=wish) == plan(card(8))


GIVEN_UP = [
    Wish(tile=True),
    Wish(tile=True, no_residents=True),
    Wish(tile=True, no_residents=True, stream_encoder=True),
    Wish(tile=True, no_residents=True, stream_encoder=True, batch=1),
]


@pytest.mark.parametrize("device", ["cuda", "cpu"])
@pytest.mark.parametrize("gb", [3, 6, 12, 24])
def test_giving_up_more_never_takes_more(gb, device):
    job = work(count=4)
    budget = replace(card(gb), device=device)
    kept = plan(budget, job)
    for wish in GIVEN_UP:
        found = plan(budget, job, wish=wish, kept=kept)
        assert found.peak_bytes <= kept.peak_bytes
        kept = found
    assert kept.batch == 1
    assert len(kept.streamed) == len(sizes().pieces)
    assert kept.decode.rows is not None


def test_giving_up_never_takes_more_on_any_machine():
    rng = random.Random(1)
    of, worker = sizes(), footprint()
    for _ in range(300):
        budget, job, _ = drawn(rng)
        try:
            kept = make_plan(job, of, worker, budget)
        except OutOfMemory:
            continue
        for wish in rng.sample([Wish(tile=True), Wish(stream_encoder=True), Wish(batch=1)], 3):
            found = make_plan(job, of, worker, budget, wish, kept)
            assert found.peak_bytes <= kept.peak_bytes


def test_residents_stay_from_job_to_job_unless_loading_anew_pays():
    kept = plan(card(8))
    for job in (work(512), work(1024), work(768, count=2)):
        found = plan(card(8), job, kept=kept)
        assert found.streamed == kept.streamed
        assert (found.slots, found.source) == (kept.slots, kept.source)
    bare = plan(card(24), wish=Wish(profile=Profile.HIGH_RAM_LOW_VRAM))
    slow = replace(RTX_4090, link=1e9)
    long = work(512, count=16, evaluations=30)
    assert plan(card(24, rates=slow), long, kept=bare).streamed == frozenset()
    assert plan(card(24), kept=bare).streamed == bare.streamed


def test_residents_stay_where_a_little_less_is_free_than_before():
    kept = plan(card(8))
    less = replace(card(8), device_bytes=kept.peak_bytes - SLACK)
    again = plan(less, kept=kept)
    assert (again.streamed, again.peak_bytes) == (kept.streamed, kept.peak_bytes)
    assert plan(less).streamed > kept.streamed
    gone = replace(less, device_bytes=less.device_bytes - 1)
    assert plan(gone, kept=kept).peak_bytes <= gone.device_bytes
    larger = plan(less, work(1280), kept=kept)
    assert larger.peak_bytes <= less.device_bytes
    given_up = plan(less, wish=Wish(stream_encoder=True), kept=kept)
    assert given_up.peak_bytes <= less.device_bytes


def test_weights_on_a_card_take_what_its_allocator_makes_of_them():
    found, ledger = plan(card(24)), Ledger(PUBLIC, INT8)
    assert not found.streamed
    taken = 0
    for path in ledger.weights:
        if not path.startswith(pieces.TABLE):
            for size in (math.prod(shape) * item for shape, item in ledger.tensors(path)):
                # Large blocks come in steps of 2 MiB, small ones in steps of 512 bytes.
                step = 2 * MIB if size >= 10 * MIB else 512
                taken += -(-size // step) * step
    assert weights(found, sizes(INT8)) < taken
    active = moving(found, work(), sizes(INT8), footprint(INT8))
    assert taken + WORKSPACE + FRAGMENTS * active <= found.peak_bytes


def test_a_kept_plan_that_does_not_fit_is_given_up():
    kept = plan(card(24))
    found = plan(card(6), kept=kept)
    assert found.peak_bytes <= card(6).device_bytes
    assert found.streamed


def test_a_kept_plan_of_another_precision_counts_for_nothing():
    bare = Wish(profile=Profile.HIGH_RAM_LOW_VRAM)
    kept = plan(card(24), numbers=BF16, wish=bare)
    assert plan(card(24), kept=kept) == plan(card(24))
    elsewhere = replace(plan(card(24), wish=bare), device="cuda:1")
    assert plan(card(24), kept=elsewhere) == plan(card(24))


def test_seconds_are_told_only_of_a_machine_that_was_measured():
    assert plan(card(24)).seconds > 0
    assert plan(card(24, rates=Rates())).seconds is None
    known = Rates(operations=RTX_3060.operations)
    assert plan(card(24, rates=known)).seconds > 0
    assert plan(card(4, rates=known)).seconds is None
    assert plan(card(24, rates=RTX_3060), numbers=FP32).seconds is None
    poor = Host(total_bytes=8 * GIB, available_bytes=4 * GIB)
    assert plan(card(4, poor)).seconds > 0
    assert plan(card(4, poor, replace(RTX_3060, disk=0.0))).seconds is None


def test_what_waits_in_ordinary_memory_comes_no_faster_than_one_core_copies():
    fast = replace(RTX_4090, link=50e9)
    paged = Host(total_bytes=8 * GIB, available_bytes=int(7.9 * GIB))
    slow = plan(card(2, paged, fast), work(512))
    assert slow.source is Source.PAGED
    copied = sum(p.bytes for p in sizes().tour(Tour.DENOISE) if p.name in slow.streamed)
    assert slow.seconds > 8 * copied / 6e9
    assert plan(card(2, rates=fast), work(512)).seconds < slow.seconds / 2


def test_the_seconds_are_those_of_the_arithmetic():
    """56.6 and 9.9 TFLOP, and a seventh for all that is no product (performance.md, FLOPs)."""
    rate = 100e12
    rates = Rates(operations={"bf16": rate})
    found = plan(card(24, rates=rates), numbers=BF16).seconds
    assert found == pytest.approx(1.15 * (8 * (47.9e12 + 8.7e12 / 0.8) + 9.92e12) / rate, rel=0.02)


def test_the_seconds_are_those_of_a_usual_prompt():
    assert plan(card(24), work(prompt_tokens=512)).seconds == plan(card(24)).seconds
    assert plan(card(24), work(256, prompt_tokens=16)).seconds < plan(card(24), work(256)).seconds


def test_copies_that_are_slower_than_the_arithmetic_are_what_is_waited_for():
    link = 2e9
    slow = plan(card(2, rates=replace(RTX_4090, link=link)), work(512)).seconds
    copied = sum(piece.bytes for piece in sizes().tour(Tour.DENOISE))
    assert slow > 8 * 0.75 * copied / link


def test_the_transformer_can_be_kept_by_a_card_that_it_fits():
    tours = (Tour.REFINE, Tour.MODULATE, Tour.DENOISE)
    for numbers, gb, fits in ((BF16, 16, True), (BF16, 12, False), (INT8, 8, True)):
        found = can_keep(work(), sizes(numbers), footprint(numbers), card(gb), tours)
        assert found == fits, (numbers, gb)


def test_a_plan_is_told_in_one_line():
    for gb in (3, 24):
        line = plan(card(gb), work(count=2)).describe()
        assert line.startswith("cuda int8; ")
        assert "\n" not in line
        assert "peak" in line
    assert "whole model resident" in plan(card(24)).describe()
    assert "denoise 4" not in plan(card(24)).describe()


def test_decoding_on_the_host_is_the_last_choice():
    tight = plan(replace(card(0), device_bytes=760 * MIB))
    assert tight.decode.on_host
    assert plan(card(2)).decode == Decode(rows=64)
