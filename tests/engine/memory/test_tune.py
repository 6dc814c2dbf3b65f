"""Which way is fastest on this machine: tried in turns, kept, and never believed blindly."""

from __future__ import annotations

import itertools

import pytest
import torch

from engine.errors import DiskError
from engine.hardware import Choice, Host, Rates, Tuning
from engine.memory import machine_file, tune
from engine.memory.trial_block import Trial, TrialBlock
from engine.memory.tune import Contest, apply_tuning, contested, known_tuning
from engine.model.config import TransformerConfig

CPU = torch.device("cpu")
TINY = TransformerConfig(dim=64, n_heads=2, axes_dims=(8, 12, 12), cap_feat_dim=32)
ONE = torch.ones(4)


@pytest.fixture
def block():
    return TrialBlock(Trial(config=TINY, tokens=64), CPU)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still but for `advance`."""

    class Clock:
        now = 0.0

        def advance(self, seconds):
            self.now += seconds

        def perf_counter(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(tune, "time", made)
    return made


class Work:
    """Ways that take a time of their own and compute a result of their own, by name."""

    def __init__(self, clock, **ways):
        self.clock, self.ways, self.way, self.done = clock, ways, None, []

    def put(self, name):
        def put():
            self.way = name

        return put

    def run(self):
        self.done.append(self.way)
        seconds, result = self.ways[self.way]
        self.clock.advance(next(seconds) if hasattr(seconds, "__next__") else seconds)
        if isinstance(result, Exception):
            raise result
        return result

    def medians(self, deadline=1000.0, check=lambda: None):
        contest = Contest(run=self.run, device=CPU, deadline=deadline, check=check)
        return contest.medians(contest.right({name: self.put(name) for name in self.ways}))


def test_ways_take_turns_and_their_medians_count(clock):
    noisy = itertools.cycle([1.0, 1.0, 9.0, 1.0, 1.0, 1.0])
    work = Work(clock, a=(2.0, ONE), b=(noisy, ONE))
    assert work.medians() == {"a": 2.0, "b": 1.0}
    # Each once to see that it is right; then each round, reversed, once untimed and once timed.
    assert work.done[:10] == [*"ab", *"aabb", *"bbaa"]
    assert len(work.done) == 2 + 4 * tune.ROUNDS


def test_after_the_deadline_only_the_round_under_way_is_finished(clock):
    work = Work(clock, a=(2.0, ONE), b=(1.0, ONE))
    assert work.medians(deadline=4.0) == {"a": 2.0, "b": 1.0}
    assert len(work.done) == 2 + 4


@pytest.mark.parametrize("result", [ONE * 1.2, ONE * float("nan"), RuntimeError("no such kernel")])
def test_a_way_that_computes_otherwise_or_fails_is_left_out(clock, result):
    work = Work(clock, a=(2.0, ONE), wrong=(0.1, result), c=(1.0, ONE * 1.01))
    assert work.medians() == {"a": 2.0, "c": 1.0}


def test_after_the_deadline_no_other_way_is_begun(clock):
    work = Work(clock, a=(2.0, ONE), b=(1.0, ONE))
    assert work.medians(deadline=1.0) == {"a": 2.0}
    assert "b" not in work.done


def test_a_way_in_use_that_fails_is_no_result(clock):
    with pytest.raises(RuntimeError, match="broken"):
        Work(clock, a=(1.0, RuntimeError("broken")), b=(1.0, ONE)).medians()


def test_trials_can_be_stopped_between_any_two(clock):
    class Stopped(Exception):
        pass

    checks = iter([None, None, None])

    def check():
        if next(checks, Stopped) is Stopped:
            raise Stopped

    work = Work(clock, a=(1.0, ONE), b=(1.0, ONE))
    with pytest.raises(Stopped):
        work.medians(check=check)
    assert work.done == [*"ab", *"aa"]


def subject(work, *names):
    return lambda _block, _device: {name: work.put(name) for name in names}


def test_the_fastest_of_each_subject_is_taken_and_stays_in_place(clock, block, monkeypatch):
    work = Work(clock, b=(1.0, ONE), a=(2.0, ONE), c=(1.0, ONE), d=(0.99, ONE))
    monkeypatch.setattr(block, "run", work.run)
    in_place = []

    def last(_block, _device):
        in_place.append(work.way)
        return {name: work.put(name) for name in "cd"}

    subjects = {"x": subject(work, "b", "a"), "y": last, "none": subject(work)}
    found = contested(block, CPU, subjects, lambda: None)
    assert in_place == ["b"]
    assert [(c.subject, c.name, c.taken) for c in found] == [
        ("x", "b", True), ("x", "a", False),
        # One percent is no reason to leave what is in use.
        ("y", "c", True), ("y", "d", False),
    ]  # fmt: skip
    assert Tuning(device="cpu", choices=found).winner("x") == "b"
    assert Tuning(device="cpu", choices=found).winner("z") is None


@pytest.mark.parametrize("names", ["ab", "a"])
def test_the_one_way_that_works_is_taken_and_is_no_choice(clock, block, monkeypatch, names):
    work = Work(clock, a=(2.0, ONE), b=(1.0, -ONE))
    monkeypatch.setattr(block, "run", work.run)
    assert contested(block, CPU, {"x": subject(work, *names)}, lambda: None) == ()
    assert (work.way, len(work.done)) == ("a", len(names))


def test_the_number_of_threads_is_as_before(block, monkeypatch):
    def fails(_block, _device):
        torch.set_num_threads(before + 1)
        raise RuntimeError("broken")

    before = torch.get_num_threads()
    with pytest.raises(RuntimeError):
        contested(block, CPU, {"x": fails}, lambda: None)
    assert torch.get_num_threads() == before


def test_the_number_of_threads_in_use_is_tried_beside_shares_of_the_cores(block, monkeypatch):
    monkeypatch.setattr(tune, "host", lambda: Host(cores=8))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert list(tune._threads(block, CPU)) == ["4", "8", "6"]
    monkeypatch.setattr(tune, "host", lambda: Host(cores=1))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert list(tune._threads(block, CPU)) == ["1"]


def test_each_form_of_a_block_is_made_once_and_attention_stays(block, monkeypatch):
    made = []

    def accelerate(network, device, dtype, *, is_base, options):
        made.append(options)
        network.layers[0].form = f"form {len(made)}"
        network.layers[0].attention.attend = "another"

    monkeypatch.setattr(tune, "accelerate", accelerate)
    block.block.attention.attend = "the winner"
    ways = tune._forms(block, CPU)
    assert (made, block.block.attention.attend) == ([*tune.FORMS.values()], "the winner")
    assert list(ways)[-1] == tune.COMPILED
    for name, put in ways.items():
        put()
        assert block.block.form == f"form {[*ways].index(name) + 1}"


def test_a_card_runs_a_way_before_time_is_taken(clock, monkeypatch):
    monkeypatch.setattr(tune, "wait", lambda _: None)
    work = Work(clock, a=(1.0, ONE))
    contest = Contest(run=work.run, device=torch.device("cuda"), deadline=0.0, check=lambda: None)
    assert contest.medians({"a": work.put("a")}) == {"a": 1.0}
    assert len(work.done) == tune.WARM_UP + 2


@pytest.fixture
def quick(monkeypatch):
    """Tune with a tiny block, without measuring the machine."""
    monkeypatch.setattr(tune, "measured_rates", lambda *_, **__: Rates())
    monkeypatch.setattr(tune, "Trial", lambda tokens: Trial(config=TINY, tokens=32))
    monkeypatch.setattr(tune, "ROUNDS", 1)


def test_what_was_found_is_kept_for_the_next_start(quick, data_folder):
    assert known_tuning("cpu", data_folder) == Tuning(device="cpu")
    found = tune.tune("cpu", data_folder, lambda: None)
    assert {choice.subject for choice in found.choices} == {"threads"}
    assert found.seconds > 0
    assert known_tuning("cpu", data_folder) == found


def test_a_stopped_trial_keeps_nothing(quick, data_folder):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune.tune("cpu", data_folder, stop)
    assert known_tuning("cpu", data_folder) == Tuning(device="cpu")


def test_what_cannot_be_kept_is_still_returned(quick, data_folder, monkeypatch):
    def full(*_):
        raise DiskError("The disk is full.")

    monkeypatch.setattr(machine_file, "keep", full)
    assert tune.tune("cpu", data_folder, lambda: None).choices


GOOD = {"subject": "threads", "name": "2", "seconds": 1.5, "taken": True}


@pytest.mark.parametrize(
    "values",
    [
        {"choices": [GOOD]},
        {"choices": [GOOD], "seconds": -1.0},
        {"choices": [GOOD], "seconds": "5"},
        {"choices": [GOOD, 5], "seconds": 5.0},
        {"choices": [GOOD, {**GOOD, "name": "x" * 81}], "seconds": 5.0},
        {"choices": [GOOD, {**GOOD, "name": "x\n"}], "seconds": 5.0},
        {"choices": [GOOD, {**GOOD, "subject": 5}], "seconds": 5.0},
        {"choices": [GOOD, {**GOOD, "seconds": True}], "seconds": 5.0},
        {"choices": [GOOD, {**GOOD, "seconds": 1e9}], "seconds": 5.0},
        {"choices": [GOOD, {**GOOD, "taken": 1}], "seconds": 5.0},
        {"choices": {"a": GOOD}, "seconds": 5.0},
    ],
)
def test_a_foreign_file_chooses_nothing(data_folder, values):
    machine_file.keep(data_folder, tune.identity("cpu"), tune.KEPT, values)
    assert known_tuning("cpu", data_folder) == Tuning(device="cpu")
    good = {"choices": [GOOD], "seconds": 5.0}
    machine_file.keep(data_folder, tune.identity("cpu"), tune.KEPT, good)
    assert known_tuning("cpu", data_folder).winner("threads") == "2"


@pytest.mark.parametrize(("name", "threads"), [("2", 2), ("64", 4), ("0", 1), ("two", 3)])
def test_the_fastest_number_of_threads_is_used_within_the_cores_there_are(
    monkeypatch, name, threads
):
    used = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(tune, "host", lambda: Host(cores=4))
    choice = Choice(subject="threads", name=name, seconds=1.0, taken=True)
    apply_tuning(Tuning(device="cpu", choices=(choice,)))
    assert used == [threads]


def test_without_a_trial_there_are_no_more_threads_than_cores_to_use(monkeypatch):
    used = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(tune, "host", lambda: Host(cores=4))
    apply_tuning(Tuning(device="cpu"))
    assert used == [4]


@pytest.mark.gpu
@pytest.mark.slow
def test_this_machines_card_is_tuned_within_a_minute(data_folder):
    found = tune.tune("cuda", data_folder, lambda: None)
    assert found.seconds < 60
    assert all(sum(c.taken for c in found.choices if c.subject == s) == 1
               for s in {c.subject for c in found.choices})  # fmt: skip
