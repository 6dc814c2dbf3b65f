"""Tensors on disk: equal to the bit, or not there."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.memory import tensor_cache
from engine.memory.tensor_cache import TensorCache, key_of

KEY = key_of([1, 2, 3], "bf16")
SHAPE = (1, 3, 8)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "prompts"


@pytest.fixture
def features():
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


def recalled(folder, dtype=torch.float32, shape=SHAPE):
    """Ask as a new process would."""
    return TensorCache(folder).recall(KEY, shape, dtype)


def damage(folder, change):
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes())
    path.write_bytes(change(data))
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_tensor_comes_back_to_the_bit(folder, features, dtype):
    TensorCache(folder).keep(KEY, features.to(dtype))
    found = recalled(folder, dtype)
    assert found.dtype is dtype
    assert torch.equal(found, features.to(dtype))


@pytest.mark.parametrize("step", [1, 2])
def test_what_becomes_of_a_tensor_later_does_not_change_what_is_kept(folder, features, step):
    cache = TensorCache(folder)
    cache.keep(KEY, features[:, :, ::step])
    features.zero_()
    assert cache.recall(KEY, (1, 3, 8 // step), torch.float32).any()
    assert recalled(folder, shape=(1, 3, 8 // step)).any()


def test_another_key_finds_nothing(folder, features):
    TensorCache(folder).keep(KEY, features)
    assert TensorCache(folder).recall(key_of([1, 2], "bf16"), SHAPE, torch.float32) is None


def test_keys_differ_wherever_a_fact_does():
    facts = [([1, 2], 3), ([1], 2, 3), ([1, 2], "3"), ([1, 2], 3, ""), ({"a": 1},), ({"a": 2},)]
    assert len({key_of(*some) for some in facts}) == len(facts)
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data[:4],
        lambda data: b"",
        lambda data: data + b"x",
        lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],
        lambda data: b"\x80\x04" + data[2:],
        lambda data: bytes(len(data)),
    ],
)
def test_a_damaged_file_is_removed_and_said_in_the_log(folder, features, change, caplog):
    TensorCache(folder).keep(KEY, features)
    path = damage(folder, change)
    with caplog.at_level(logging.WARNING):
        assert recalled(folder) is None
    assert not path.exists()
    assert "made again" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_not_believed(folder, features, value):
    features[0, 0, 0] = value
    TensorCache(folder).keep(KEY, features)
    assert recalled(folder) is None
    assert not list(folder.iterdir())


def test_a_tensor_of_another_shape_or_type_is_not_believed(folder, features):
    for asked in ({"shape": (1, 3, 9)}, {"dtype": torch.bfloat16}):
        TensorCache(folder).keep(KEY, features)
        assert recalled(folder, **asked) is None
        assert not list(folder.iterdir())


def test_a_file_of_other_tensors_is_not_believed(folder, features):
    TensorCache(folder).keep(KEY, features)
    (path,) = folder.iterdir()
    save_file({"another": features}, path)
    assert recalled(folder) is None
    assert not path.exists()


def test_a_file_without_its_checksum_is_not_believed(folder, features):
    TensorCache(folder).keep(KEY, features)
    (path,) = folder.iterdir()
    save_file(load_file(path), path)
    assert recalled(folder) is None


def test_the_last_few_are_in_memory_even_where_nothing_can_be_written(tmp_path, features):
    (tmp_path / "file").write_bytes(b"")
    cache = TensorCache(tmp_path / "file" / "prompts")
    for number in range(tensor_cache.KEPT_IN_MEMORY + 1):
        cache.keep(key_of(number), features + number)
    assert cache.recall(key_of(0), SHAPE, torch.float32) is None
    for number in range(1, tensor_cache.KEPT_IN_MEMORY + 1):
        assert torch.equal(cache.recall(key_of(number), SHAPE, torch.float32), features + number)


def test_recalling_counts_as_use_in_memory(tmp_path, features):
    (tmp_path / "file").write_bytes(b"")
    cache = TensorCache(tmp_path / "file" / "prompts")
    for number in range(tensor_cache.KEPT_IN_MEMORY):
        cache.keep(key_of(number), features)
    cache.recall(key_of(0), SHAPE, torch.float32)
    cache.keep(key_of("one more"), features)
    assert cache.recall(key_of(0), SHAPE, torch.float32) is not None
    assert cache.recall(key_of(1), SHAPE, torch.float32) is None


WRITER = """
import sys
from pathlib import Path
import torch
from engine.memory.tensor_cache import TensorCache, key_of
cache = TensorCache(Path(sys.argv[1]), limit=4000)
for turn in range(60):
    number = turn % 7
    value = torch.full((1, 10, 10), float(number))
    found = cache.recall(key_of(number), (1, 10, 10), torch.float32)
    assert found is None or torch.equal(found, value), turn
    cache._recent.clear()
    cache.keep(key_of(number), value)
"""


def test_two_processes_share_a_folder_and_never_read_half_a_tensor(folder):
    words = [sys.executable, "-c", WRITER, str(folder)]
    writers = [subprocess.Popen(words) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 4000 + 600
