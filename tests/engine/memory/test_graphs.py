"""Graphs are replayed where launching outlasts computing, and give the very same numbers."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.memory import forms
from engine.memory.forms import FusedForm
from engine.memory.graphs import CudaRecorder, Graphs, launches_dominate
from engine.model.config import TransformerConfig
from engine.model.layers import plain
from tests.engine.quant.plain_kernels import PlainKernels, make_block, make_inputs

WARM = 5
"""Visits of a layout before graphs are recorded: times are taken on the last two."""


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


class Tape:
    """Records operations with the memory they use and does them again, as a CUDA graph does.

    Says how long launching takes of every second.
    """

    def __init__(self, share: float = 1.0, fault=None) -> None:
        self.share, self.fault = share, fault
        self.recorded = self.replayed = self.measured = 0

    def record(self, work):
        self.recorded += 1
        with _Recording() as recording:
            work()

        def replay():
            self.replayed += 1
            if self.fault is not None:
                self.fault()
            recording.replay()

        return replay

    def seconds(self, work):
        self.measured += 1
        work()
        return self.share, 1.0


class _Recording(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self._done = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        out = function(*arguments, **(keywords or {}))
        self._done.append((function, arguments, keywords or {}, out))
        return out

    def replay(self) -> None:
        """Do every operation again, with the tensors of then, and put results where they were."""
        for function, arguments, keywords, out in self._done:
            again = function(*arguments, **keywords)
            for place, result in zip(tree_leaves(out), tree_leaves(again), strict=True):
                if isinstance(place, torch.Tensor) and place.data_ptr() != result.data_ptr():
                    place.copy_(result)


def run(graphs, block, inputs):
    x, angles, modulation = inputs
    return graphs(block, x, angles, None, modulation)


def right(block, inputs):
    x, angles, modulation = inputs
    return plain(block, x, angles, None, modulation)


def test_graphs_pay_where_launching_takes_most_of_the_time():
    assert launches_dominate(0.9, 1.0)
    assert launches_dominate(0.8, 1.0)
    assert not launches_dominate(0.79, 1.0)
    assert not launches_dominate(0.02, 1.0)


@pytest.mark.parametrize("int8", [False, True], ids=["plain", "int8"])
def test_a_replay_is_bit_identical_whatever_it_is_given(int8):
    tape = Tape()
    graphs = Graphs(plain, tape)
    block = make_block(int8=int8)
    for _ in range(WARM + 1):
        inputs = make_inputs(1, 20, 1)
        assert torch.equal(run(graphs, block, inputs), right(block, inputs))
    assert (tape.recorded, tape.replayed) == (1, 1)
    for _ in range(3):
        inputs = make_inputs(1, 20, 1)
        assert torch.equal(run(graphs, block, inputs), right(block, inputs))
    assert (tape.recorded, tape.replayed) == (1, 4)


def warmed(tape, block, **layout):
    graphs = Graphs(plain, tape)
    for _ in range(WARM + 1):
        run(graphs, block, make_inputs(1, 20, 1, **layout))
    return graphs


def test_a_result_stays_what_it_is_when_other_blocks_run():
    block, other = make_block(int8=False), make_block(int8=False)
    graphs = warmed(Tape(), block)
    run(graphs, other, make_inputs(1, 20, 1))
    inputs = make_inputs(1, 20, 1)
    kept = run(graphs, block, inputs)
    run(graphs, other, (kept, *inputs[1:]))
    assert torch.equal(kept, right(block, inputs))


def test_what_goes_in_is_left_as_it_was():
    block = make_block(int8=False)
    graphs = Graphs(plain, Tape())
    inputs = make_inputs(1, 20, 1)
    before = copy.deepcopy(inputs)
    for _ in range(WARM + 1):
        run(graphs, block, inputs)
    run(graphs, block, make_inputs(1, 20, 1))
    assert torch.equal(inputs[0], before[0])
    assert torch.equal(inputs[1].cos, before[1].cos)
    assert torch.equal(inputs[1].sin, before[1].sin)
    assert all(map(torch.equal, inputs[2], before[2]))


def test_angles_are_copied_when_they_change():
    block = make_block(int8=False)
    graphs = warmed(Tape(), block)
    x, _, modulation = make_inputs(1, 20, 1)
    for _ in range(2):
        angles = make_inputs(1, 20, 1)[1]
        for _ in range(2):
            inputs = (x, angles, modulation)
            assert torch.equal(run(graphs, block, inputs), right(block, inputs))


def test_blocks_that_pass_through_one_slot_share_a_graph():
    tape = Tape()
    slot = make_block(int8=True)
    graphs = warmed(tape, slot)
    for _ in range(3):
        arriving = make_block(int8=True)
        for place, weight in zip(
            slot.state_dict().values(), arriving.state_dict().values(), strict=True
        ):
            place.copy_(weight)
        inputs = make_inputs(1, 20, 1)
        assert torch.equal(run(graphs, slot, inputs), right(arriving, inputs))
    assert tape.recorded == 1


def test_weights_at_another_address_get_a_graph_of_their_own():
    tape = Tape()
    block = make_block(int8=True)
    graphs = warmed(tape, block)
    layer = block.feed_forward.w2
    layer.scales = 2 * layer.scales
    inputs = make_inputs(1, 20, 1)
    assert torch.equal(run(graphs, block, inputs), right(block, inputs))
    assert tape.recorded == 2


@pytest.mark.parametrize(
    "other", [(2, 24, 1), (1, 20, 1), (2, 20, 2)], ids=["tokens", "groups", "times"]
)
def test_every_layout_is_recorded_by_itself(other):
    tape = Tape()
    block = make_block(int8=False)
    graphs = Graphs(plain, tape)
    for layout in ((2, 20, 1), other):
        for _ in range(WARM + 2):
            inputs = make_inputs(*layout)
            assert torch.equal(run(graphs, block, inputs), right(block, inputs))
    assert tape.recorded == 2


def test_sequences_of_other_lengths_are_another_layout():
    tape = Tape()
    block = make_block(int8=False)
    graphs = Graphs(plain, tape)
    for lengths in ((12, 8), (8, 12)):
        for _ in range(WARM + 2):
            x, angles, modulation = make_inputs(1, 20, 1)
            found = graphs(block, x, angles, lengths, modulation)
            assert torch.equal(found, plain(block, x, angles, lengths, modulation))
    assert tape.recorded == 2


def test_nothing_is_recorded_where_computing_dominates():
    tape = Tape(share=0.1)
    block = make_block(int8=False)
    graphs = warmed(tape, block)
    for _ in range(20):
        run(graphs, block, make_inputs(1, 20, 1))
    assert (tape.measured, tape.recorded) == (2, 0)


@pytest.mark.parametrize("moment", [WARM - 2, WARM - 1])
def test_one_slow_moment_of_the_host_does_not_start_recording(moment):
    tape = Tape()
    graphs = Graphs(plain, tape)
    block = make_block(int8=False)
    for visit in range(20):
        tape.share = 1.0 if visit == moment else 0.1
        run(graphs, block, make_inputs(1, 20, 1))
    assert tape.recorded == 0


def test_old_layouts_make_room():
    block = make_block(int8=False)
    graphs = Graphs(plain, Tape())
    for tokens in range(10, 20):
        for _ in range(WARM + 1):
            run(graphs, block, make_inputs(1, tokens, 1))
    assert len(graphs._layouts) <= 4


def test_weights_that_never_come_back_do_not_fill_the_memory():
    tape = Tape()
    block = make_block(int8=True)
    graphs = warmed(tape, block)
    kept = []
    for _ in range(80):
        kept.append(block.feed_forward.w2.scales)
        block.feed_forward.w2.scales = kept[-1].clone()
        run(graphs, block, make_inputs(1, 20, 1))
    assert tape.recorded <= 64


def spoil(tape_of):
    """A fault of the replay: it leaves other numbers."""

    def fault():
        for _layout in tape_of.graphs._layouts.values():
            _layout.room.x.add_(1)

    return fault


def test_a_replay_that_gives_other_numbers_is_left(caplog):
    tape = Tape()
    block = make_block(int8=False)
    tape.graphs = Graphs(plain, tape)
    tape.fault = spoil(tape)
    with caplog.at_level(logging.WARNING):
        for _ in range(4 * WARM):
            inputs = make_inputs(1, 20, 1)
            assert torch.equal(run(tape.graphs, block, inputs), right(block, inputs))
    assert (tape.recorded, tape.replayed) == (1, 1)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "error", [RuntimeError("not permitted when stream is capturing"), KeyError("x"),
              torch.OutOfMemoryError("CUDA out of memory")],
)  # fmt: skip
def test_a_recording_that_fails_leaves_the_job_whole(error, caplog):
    class Broken(Tape):
        def record(self, work):
            self.recorded += 1
            raise error

    tape = Broken()
    graphs = Graphs(plain, tape)
    block = make_block(int8=False)
    for _ in range(4 * WARM):
        inputs = make_inputs(1, 20, 1)
        assert torch.equal(run(graphs, block, inputs), right(block, inputs))
    assert tape.recorded == 1
    assert [r.levelname for r in caplog.records] == ["WARNING"]


def test_captions_and_blocks_with_adapters_are_not_recorded():
    tape = Tape()
    graphs = Graphs(plain, tape)
    block = make_block(int8=False)
    block.attention.register_forward_hook(lambda *_: None)
    x, angles, modulation = make_inputs(1, 20, 1)
    for _ in range(WARM + 3):
        graphs(block, x, angles, None, modulation)
        graphs(make_block(int8=False), x, angles, None, None)
    assert (tape.measured, tape.recorded) == (0, 0)


def test_a_fused_form_can_be_replayed(monkeypatch):
    monkeypatch.setattr(forms, "_is_faster", lambda *_: True)
    tape, kernels = Tape(), PlainKernels()
    graphs = Graphs(FusedForm(kernels), tape)
    block = make_block(int8=False)
    for _ in range(WARM + 3):
        inputs = make_inputs(1, 20, 1)
        expected = right(block, inputs)
        assert (run(graphs, block, inputs) - expected).norm() <= 1e-4 * expected.norm()
    assert kernels.launched
    assert tape.replayed == 3


@pytest.mark.gpu
@pytest.mark.parametrize("tokens", [77, 1152])
def test_a_card_replays_blocks_of_the_true_width_bit_by_bit(tokens):
    card, config = torch.device("cuda"), TransformerConfig()
    with card:
        blocks = [
            make_block(int8=False, dtype=torch.bfloat16, config=config, std=0.02) for _ in range(2)
        ]

    class Always(CudaRecorder):
        def seconds(self, work):
            return 1.0, super().seconds(work)[1] * 0 + 1.0

    graphs = Graphs(plain, Always(card))
    for visit in range(WARM + 6):
        x, angles, modulation = make_inputs(1, tokens, 1, config=config, dtype=torch.bfloat16)
        inputs = (x.to(card), angles.to(card), type(modulation)(*(m.to(card) for m in modulation)))
        block = blocks[visit % 2]
        assert torch.equal(run(graphs, block, inputs), right(block, inputs))
    assert [len(layout.graphs) for layout in graphs._layouts.values()] == [2]
