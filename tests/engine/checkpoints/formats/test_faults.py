"""Quantised weights that are damaged, unknown or hostile are refused by name, never by a crash."""

from __future__ import annotations

import random

import numpy as np
import pytest

from engine.checkpoints.formats import find_weights
from engine.checkpoints.header import read_header
from engine.checkpoints.weights import open_weights
from engine.errors import FileRejected
from tests.engine.checkpoints.formats.writers import (
    IN_NAMES_ALONE,
    WRITERS,
    Tensor,
    Written,
    f32,
    file_of,
    options,
    save,
)
from tests.faults.pace import assert_quick

SCALED = [name for name in WRITERS if not name.startswith("fp8")]
POISON = {"F32": [np.nan, np.inf], "F8_E4M3": [0x7F], "F8_E5M2": [0x7C, 0x7F], "F8_E8M0": [255]}
"""Numbers that are none, by number type."""


def written_by(name: str, layer: str = "a") -> Written:
    return WRITERS[name](layer, np.random.default_rng(3).normal(size=(128, 256)))


def scale_of(written: Written) -> str:
    endings = ("weight_scale", "scale_weight", "weight_scale_inv")
    return next(name for name in written.tensors if name.split(".")[-1] in endings)


def read_all(path):
    """Read every weight both ways."""
    with open_weights([read_header(path)]) as source:
        for name in source.shapes:
            source.read(name)
            source.read_int8(name)


def refusal(path) -> str:
    with pytest.raises(FileRejected) as caught:
        read_all(path)
    return str(caught.value)


def refusal_of(written: Written, tmp_path) -> str:
    return refusal(file_of({"a": written}, tmp_path / "file.safetensors"))


@pytest.mark.parametrize("name", SCALED)
def test_too_few_scales_are_refused(tmp_path, name):
    written = written_by(name)
    scales = written.tensors[scale_of(written)]
    scales.numbers = np.resize(scales.numbers, 3)
    assert "'a.weight'" in refusal_of(written, tmp_path)


@pytest.mark.parametrize("name", SCALED)
def test_scales_of_another_number_type_are_refused(tmp_path, name):
    written = written_by(name)
    scales = written.tensors[scale_of(written)]
    scales.dtype, scales.numbers = "I32", scales.numbers.astype(np.int32)
    assert "'a.weight'" in refusal_of(written, tmp_path)


@pytest.mark.parametrize("name", [n for n in SCALED if n not in IN_NAMES_ALONE])
def test_layers_without_their_scales_are_refused(tmp_path, name):
    written = written_by(name)
    del written.tensors[scale_of(written)]
    assert "'a.weight'" in refusal_of(written, tmp_path)


@pytest.mark.parametrize("name", SCALED)
def test_scales_without_their_weight_are_refused(tmp_path, name):
    written = written_by(name)
    del written.tensors["a.weight"]
    assert "a.weight" in refusal_of(written, tmp_path)


@pytest.mark.parametrize("name", SCALED)
def test_values_that_are_no_matrix_of_the_right_type_are_refused(tmp_path, name):
    written = written_by(name)
    values = written.tensors["a.weight"]
    values.numbers = values.numbers.reshape(-1)
    assert "'a.weight'" in refusal_of(written, tmp_path)
    values.dtype, values.numbers = "BF16", np.zeros((128, 256), np.uint16)
    assert "'a.weight'" in refusal_of(written, tmp_path)


@pytest.mark.parametrize(("name", "width"), [("nvfp4", 20), ("nvfp4 low first", 20), ("mxfp8", 48)])
def test_rows_that_are_no_whole_blocks_are_refused(tmp_path, name, width):
    written = written_by(name)
    written.tensors["a.weight"].numbers = np.zeros((128, width), np.uint8)
    scales = written.tensors["a.weight_scale"]
    scales.numbers = np.zeros((128, 4), np.uint8)
    assert "'a.weight'" in refusal_of(written, tmp_path)


@pytest.mark.parametrize("ending", ["weight_scale_2", "alpha"])
@pytest.mark.parametrize("scale", [None, f32([1.0, 1.0]), Tensor("I32", np.ones((), np.int32))])
def test_a_scale_of_the_whole_that_is_not_one_number_is_refused(tmp_path, ending, scale):
    written = written_by("nvfp4" if ending == "weight_scale_2" else "nvfp4 low first")
    written.tensors[f"a.{ending}"] = scale
    if scale is None:
        del written.tensors[f"a.{ending}"]
    assert f"'a.{ending}'" in refusal_of(written, tmp_path)


@pytest.mark.parametrize("name", WRITERS)
def test_numbers_that_are_none_are_refused_wherever_they_stand(tmp_path, name):
    tried = 0
    for tensor in written_by(name).tensors:
        if "input_scale" in tensor or "scale_input" in tensor:
            continue
        dtype = written_by(name).tensors[tensor].dtype
        if dtype == "U8" and name == "mxfp8":
            dtype = "F8_E8M0"
        for poison in POISON.get(dtype, []):
            written = written_by(name)
            numbers = written.tensors[tensor].numbers.copy()
            numbers.reshape(-1)[0] = poison
            written.tensors[tensor].numbers = numbers
            assert "not finite" in refusal_of(written, tmp_path)
            tried += 1
    assert tried


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf], ids=str)
def test_integers_whose_scales_are_no_numbers_are_refused(tmp_path, number):
    written = written_by("int8 [N, 1]")
    written.tensors["a.weight_scale"].numbers[5] = number
    path = file_of({"a": written}, tmp_path / "file.safetensors")
    with (
        open_weights([read_header(path)]) as source,
        pytest.raises(FileRejected, match="not finite"),
    ):
        source.read_int8("a.weight")


def described(tmp_path, name="int8 [N, 1]", **changes):
    """A file whose only layer has changed options."""
    written = written_by(name)
    written.metadata |= changes
    return file_of({"a": written}, tmp_path / "file.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "int5_tensorwise"},
        {"format": "float8_e4m3fn"},
        {"format": "nvfp4"},
        {"format": "mxfp8"},
        {"format": "int8_blockwise"},
        {"format": "int8_blockwise", "group_size": 0},
        {"format": "int8_blockwise", "group_size": -64},
        {"format": "int8_blockwise", "group_size": 2**60},
        {"format": "int8_blockwise", "group_size": 64.0},
        {"format": "int8_blockwise", "convrot": True, "convrot_groupsize": 16, "group_size": 64},
        {"format": None},
        {"format": ["int8_tensorwise"]},
        {"convrot": "yes"},
        {"convrot": 1},
        {"convrot": [True]},
        {"mirrored": True},
        *(
            {"convrot": True, "convrot_groupsize": size}
            for size in (0, 1, -4, 2, 8, 48, 128, 1024, 4.0, True, "16", None, [16], 2**62)
        ),
    ],
    ids=str,
)
def test_options_that_are_unknown_or_do_not_fit_are_refused(tmp_path, changes):
    assert "'a." in refusal(described(tmp_path, **changes))


@pytest.mark.parametrize("name", ["comfy e4m3 []", "nvfp4", "mxfp8", "squares 64 fp8"])
def test_a_rotation_of_anything_but_int8_is_refused(tmp_path, name):
    assert "'a.weight'" in refusal(described(tmp_path, name, convrot=True))


def test_options_that_change_no_number_are_let_pass(tmp_path):
    changes = {"convrot": False, "orig_dtype": "torch.bfloat16", "full_precision_matrix_mult": True}
    read_all(described(tmp_path, **changes))


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff\xfe", b"[]", b"{}", b"null", b'{"format": NaN}', b"[" * 4000, b'{"format": 1}'],
    ids=repr,
)
def test_options_that_are_no_object_naming_a_format_are_refused(tmp_path, text):
    written = written_by("int8 []")
    written.tensors["a.comfy_quant"] = Tensor("U8", np.frombuffer(text, np.uint8))
    path = save(tmp_path / "file.safetensors", written.tensors)
    assert "'a.comfy_quant'" in refusal(path)


def test_options_that_are_no_short_text_are_refused(tmp_path):
    written = written_by("int8 []")
    text = b'{"format": "int8_tensorwise"}' + 5000 * b" "
    written.tensors["a.comfy_quant"] = Tensor("U8", np.frombuffer(text, np.uint8))
    message = refusal(save(tmp_path / "file.safetensors", written.tensors))
    assert "'a.comfy_quant' holds no short text" in message


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "{}", '{"layers": []}', '{"layers": {"a": []}}', '{"layers": {"a": {}}}',
        '{"layers": {"b": {"format": "mxfp8"}}}', '{"layers": {"a": {"format": "x"}}}',
        '{"layers": {"\ud800": {"format": "mxfp8"}}}', "[" * 100_000,
        '{"layers": {"' + 100_000 * "a" + '": {"format": "mxfp8"}}}',
    ],
    ids=lambda text: repr(text[:30]),
)  # fmt: skip
def test_metadata_that_lists_no_known_layers_is_refused(tmp_path, text):
    written = written_by("int8 []")
    metadata = {"_quantization_metadata": text}
    message = refusal(save(tmp_path / "file.safetensors", written.tensors, metadata))
    assert len(message) < 600


def test_a_weight_that_is_there_twice_is_refused(tmp_path):
    tensors = {
        "a.weight": f32(np.ones((2, 2))),
        "a.weight._data": Tensor("I8", np.ones((2, 2), np.int8)),
        "a.weight._scale": f32(np.ones((2, 1))),
    }
    assert "'a.weight'" in refusal(save(tmp_path / "file.safetensors", tensors))


def test_the_same_weight_in_two_files_is_refused(tmp_path):
    paths = [save(tmp_path / name, {"a.weight": f32([1.0])}) for name in ("x", "y")]
    with pytest.raises(FileRejected, match=r"a\.weight"):
        find_weights([read_header(path) for path in paths])


def test_a_file_that_changes_before_its_options_are_read_is_refused(tmp_path):
    path = described(tmp_path)
    header = read_header(path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(FileRejected, match="changed"):
        find_weights([header])


def test_number_types_of_no_format_are_refused(tmp_path):
    path = save(tmp_path / "file.safetensors", {"a.weight": Tensor("U8", np.ones(4, np.uint8))})
    assert "'a.weight' as U8" in refusal(path)


def test_a_marker_of_scaled_float8_is_no_weight(tmp_path):
    for length in (0, 2):
        written = written_by("old e4m3 []")
        written.tensors["x.scaled_fp8"] = Tensor("F8_E4M3", np.zeros(length, np.uint8))
        path = save(tmp_path / "file.safetensors", written.tensors)
        assert find_weights([read_header(path)]).keys() == {"a.weight"}


def mutated(tensors: dict[str, Tensor], random_: random.Random) -> dict[str, Tensor]:
    """Tensors of which one is lost, renamed, swapped, reshaped, retyped, cut or filled anew."""
    names = list(tensors)
    name, other = random_.choice(names), random_.choice(names)
    found, tensor = dict(tensors), tensors[name]
    numbers = tensor.numbers
    kind = random_.randrange(7)
    if kind == 0:
        del found[name]
    elif kind == 1:
        found[random_.choice([f"{other}._data", f"{name}._scale", name[:-1], f"b.{name}"])] = tensor
        del found[name]
    elif kind == 2:
        found[name], found[other] = found[other], found[name]
    elif kind == 3:
        shape = random_.choice([(-1,), (1, -1), (-1, 1), (-1, *numbers.shape[1:], 1), (1, 1, -1)])
        found[name] = Tensor(tensor.dtype, numbers.reshape(shape) if numbers.size else numbers)
    elif kind == 4:
        size = numbers.dtype.itemsize
        dtypes = {1: ["U8", "I8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"], 4: ["I32", "F32"]}
        found[name] = Tensor(random_.choice(dtypes[size]), numbers)
    elif kind == 5:
        found[name] = Tensor(tensor.dtype, numbers.reshape(-1)[: random_.randrange(9)])
    else:
        raw = random_.randbytes(numbers.nbytes)
        found[name] = Tensor(tensor.dtype, np.frombuffer(raw, numbers.dtype).reshape(numbers.shape))
    return found


@pytest.mark.parametrize("seed", range(300))
def test_a_mutated_file_is_read_or_refused(tmp_path, seed):
    random_ = random.Random(seed)
    name = random_.choice(list(WRITERS))
    written = WRITERS[name]("a", np.random.default_rng(seed).normal(size=(32, 64)))
    tensors = dict(written.tensors)
    if written.metadata:
        tensors["a.comfy_quant"] = options(**written.metadata)
    for _ in range(random_.randint(1, 2)):
        tensors = mutated(tensors, random_)
    path = save(tmp_path / "file.safetensors", tensors)
    try:
        read_all(path)
    except FileRejected as error:
        assert str(error)


@pytest.mark.parametrize("in_metadata", [False, True])
def test_fifteen_hundred_tensors_are_told_apart_at_once(tmp_path, in_metadata):
    small = np.ones((16, 64))
    written = {f"layers.{i}": WRITERS["convrot 16"](f"layers.{i}", small) for i in range(500)}
    path = file_of(written, tmp_path / "file.safetensors", in_metadata=in_metadata)
    header = read_header(path)
    assert len(find_weights([header])) == 500
    assert_quick(lambda: find_weights([header]), 0.2)
