"""Writers of quantised weights, made from the public descriptions of the formats alone.

They use numpy and float64, quantise by looking for the nearest number that a format has, and build
what reading must give number by number: nothing is shared with the code that they test.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

E4M3, E5M2 = (4, 7), (5, 15)
"""Exponent bits and bias of the two common float8 types."""

H4 = np.array([[1, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]]) / 2
E2M1 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
FLOAT8_NAMES = {E4M3: "F8_E4M3", E5M2: "F8_E5M2"}
COMFY_NAMES = {E4M3: "float8_e4m3fn", E5M2: "float8_e5m2"}


@dataclass
class Tensor:
    """A tensor of a file: the format's name of its number type, and its numbers."""

    dtype: str
    numbers: np.ndarray


@dataclass
class Written:
    """What a writer made of one weight: tensors, what they mean exactly, options and bounds.

    bound: how far each number may be from the original.
    """

    tensors: dict[str, Tensor]
    meaning: np.ndarray
    bound: np.ndarray
    metadata: dict[str, object] = field(default_factory=dict)


Writer = Callable[[str, np.ndarray], Written]
"""Quantises the weight of a layer of this name."""


def f32(numbers: object) -> Tensor:
    return Tensor("F32", np.asarray(numbers, np.float32))


def bf16(numbers: np.ndarray) -> Tensor:
    """Numbers that bfloat16 holds exactly, stored so."""
    bits = np.asarray(numbers, np.float32).view(np.uint32)
    assert not (bits & 0xFFFF).any()
    return Tensor("BF16", (bits >> 16).astype(np.uint16))


def save(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Path:
    """Write a safetensors file without any library."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    data = b""
    for name, tensor in tensors.items():
        raw = np.ascontiguousarray(tensor.numbers).tobytes()
        shape, places = list(tensor.numbers.shape), [len(data), len(data) + len(raw)]
        header[name] = {"dtype": tensor.dtype, "shape": shape, "data_offsets": places}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def float8_values(kind: tuple[int, int]) -> np.ndarray:
    """What each of the 256 bytes means; NaN and infinity as NaN."""
    exponent_bits, bias = kind
    mantissa_bits = 7 - exponent_bits
    values = np.full(256, np.nan)
    for byte in range(256):
        sign = -1.0 if byte & 128 else 1.0
        exponent = (byte & 127) >> mantissa_bits
        mantissa = byte & ((1 << mantissa_bits) - 1)
        if (kind == E4M3 and byte & 127 == 127) or (kind == E5M2 and exponent == 31):
            continue
        fraction = mantissa / (1 << mantissa_bits)
        if exponent == 0:
            values[byte] = sign * fraction * 2.0 ** (1 - bias)
        else:
            values[byte] = sign * (1 + fraction) * 2.0 ** (exponent - bias)
    return values


def nearest(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The code of the value nearest to each number."""
    codes = np.flatnonzero(~np.isnan(values))
    order = codes[np.argsort(values[codes], kind="stable")]
    sorted_values = values[order]
    place = np.clip(np.searchsorted(sorted_values, numbers), 1, len(order) - 1)
    lower = numbers - sorted_values[place - 1] < sorted_values[place] - numbers
    return order[np.where(lower, place - 1, place)].astype(np.uint8)


def float8_step(numbers: np.ndarray, kind: tuple[int, int], scale: np.ndarray) -> np.ndarray:
    """Half the distance between neighbours around each number, as the format has them."""
    exponent_bits, bias = kind
    mantissa_bits = 7 - exponent_bits
    size = np.maximum(np.abs(numbers) / scale, 2.0 ** (1 - bias))
    return 2.0 ** np.floor(np.log2(size) + 1) * 2.0**-mantissa_bits / 2 * scale


def options(**values: object) -> Tensor:
    return Tensor("U8", np.frombuffer(json.dumps(values).encode(), np.uint8))


def plain_float8(kind: tuple[int, int]) -> Writer:
    def write(layer: str, weight: np.ndarray) -> Written:
        values = float8_values(kind)
        codes = nearest(weight, values)
        bound = float8_step(weight, kind, np.ones(1))
        tensors = {f"{layer}.weight": Tensor(FLOAT8_NAMES[kind], codes)}
        return Written(tensors, values[codes], bound)

    return write


def _scale(weight: np.ndarray, by_row: bool, highest: float) -> np.ndarray:
    size = np.abs(weight).max(axis=1, keepdims=True) if by_row else np.abs(weight).max()
    return np.asarray(np.float32(size / highest))


def scaled_float8(kind: tuple[int, int], shape: str, *, names: tuple[str, str]) -> Writer:
    """shape: of the scales: "[]", "[1]", "[N]" or "[N, 1]". names: of weight and input scales."""

    def write(layer: str, weight: np.ndarray) -> Written:
        values = float8_values(kind)
        scale = _scale(weight, "N" in shape, float(np.nanmax(values)))
        codes = nearest(weight / scale, values)
        stored = scale.reshape({"[]": (), "[1]": (1,), "[N]": (-1,), "[N, 1]": (-1, 1)}[shape])
        tensors = {
            f"{layer}.weight": Tensor(FLOAT8_NAMES[kind], codes),
            f"{layer}.{names[0]}": f32(stored),
            f"{layer}.{names[1]}": f32(3.0),
        }
        bound = float8_step(weight, kind, scale.astype(float))
        return Written(tensors, values[codes] * scale.astype(float), bound)

    return write


def comfy_float8(kind: tuple[int, int], shape: str, suffix: str = "") -> Writer:
    write = scaled_float8(kind, shape, names=("weight_scale", "input_scale"))

    def described(layer: str, weight: np.ndarray) -> Written:
        written = write(layer, weight)
        written.metadata = {
            "format": COMFY_NAMES[kind] + suffix,
            "full_precision_matrix_mult": True,
        }
        return written

    return described


def hadamard(size: int) -> np.ndarray:
    """The orthonormal regular Hadamard matrix of a power of four."""
    found = np.ones((1, 1))
    while len(found) < size:
        found = np.kron(found, H4)
    assert np.allclose(found @ found.T, np.eye(size))
    return found


def int8(shape: str, group: int | None = None) -> Writer:
    def write(layer: str, weight: np.ndarray) -> Written:
        turn = np.eye(weight.shape[1])
        if group is not None:
            turn = np.kron(np.eye(weight.shape[1] // group), hadamard(group))
        turned = weight @ turn
        scale = _scale(turned, "N" in shape, 127.0)
        codes = np.rint(turned / scale).astype(np.int8)
        tensors = {
            f"{layer}.weight": Tensor("I8", codes),
            f"{layer}.weight_scale": f32(scale.reshape({"[]": (), "[N, 1]": (-1, 1)}[shape])),
        }
        meaning = codes * scale.astype(float) @ turn.T
        half = np.broadcast_to(scale.astype(float) / 2, weight.shape)
        # A turned error of half a step in each number of a group is at most so long.
        bound = half * (np.sqrt(group) if group else 1.0)
        rotation = {"convrot": True, "convrot_groupsize": group} if group else {}
        return Written(tensors, meaning, bound, {"format": "int8_tensorwise", **rotation})

    return write


def _tiled(scales: np.ndarray) -> np.ndarray:
    """Bytes [rows, blocks] in the order of block-scaled products, in whole tiles of 128 x 4."""
    rows, blocks = -(-scales.shape[0] // 128) * 128, -(-scales.shape[1] // 4) * 4
    tiled = np.zeros(rows * blocks, np.uint8)
    for row in range(scales.shape[0]):
        for block in range(scales.shape[1]):
            tile = (row // 128) * (blocks // 4) + block // 4
            inside = (row % 32) * 16 + (row % 128) // 32 * 4 + block % 4
            tiled[tile * 512 + inside] = scales[row, block]
    return tiled.reshape(rows, blocks)


def nvfp4(*, high_first: bool = True) -> Writer:
    def write(layer: str, weight: np.ndarray) -> Written:
        rows, columns = weight.shape
        values, e4m3 = np.array([*E2M1, *(-v for v in E2M1)]), float8_values(E4M3)
        whole = float(np.float32(np.abs(weight).max() / (448 * 6)))
        blocks = weight.reshape(rows, columns // 16, 16)
        size = np.abs(blocks).max(axis=2)
        scales = nearest(size / 6 / whole, e4m3)
        factor = np.maximum(e4m3[scales], 2.0**-9)[:, :, None] * whole
        codes = nearest(blocks / factor, values).reshape(rows, columns)
        first, second = codes[:, 0::2], codes[:, 1::2]
        packed = first << 4 | second if high_first else second << 4 | first
        tensors = {
            f"{layer}.weight": Tensor("U8", packed.astype(np.uint8)),
            f"{layer}.weight_scale": Tensor("F8_E4M3", _tiled(scales)),
        }
        if high_first:
            tensors |= {f"{layer}.weight_scale_2": f32(whole), f"{layer}.input_scale": f32(3.0)}
        else:
            tensors |= {
                f"{layer}.alpha": f32([whole / 4]), f"{layer}.input_global_scale": f32([4.0])
            }  # fmt: skip
        meaning = values[codes].reshape(blocks.shape) * (e4m3[scales][:, :, None] * whole)
        # One step between 4 and 6 is 2; the scale itself is off by at most a sixteenth.
        bound = np.repeat(np.maximum(size / 6, 2.0**-9 * whole), 16, axis=1) * 17 / 16 * 1.4
        described = {"format": "nvfp4"} if high_first else {}
        return Written(tensors, meaning.reshape(weight.shape), bound, described)

    return write


def mxfp8(*, scales_as: str = "U8") -> Writer:
    def write(layer: str, weight: np.ndarray) -> Written:
        rows, columns = weight.shape
        e4m3 = float8_values(E4M3)
        blocks = weight.reshape(rows, columns // 32, 32)
        size = np.maximum(np.abs(blocks).max(axis=2), 2.0**-100)
        exponents = np.ceil(np.log2(size / 448))
        factor = 2.0 ** exponents[:, :, None]
        codes = nearest(blocks / factor, e4m3)
        tensors = {
            f"{layer}.weight": Tensor("F8_E4M3", codes.reshape(rows, columns)),
            f"{layer}.weight_scale": Tensor(scales_as, _tiled((exponents + 127).astype(np.uint8))),
        }
        bound = float8_step(blocks, E4M3, factor)
        meaning = e4m3[codes] * factor
        shaped = (meaning.reshape(weight.shape), bound.reshape(weight.shape))
        return Written(tensors, *shaped, {"format": "mxfp8"})

    return write


def squares(side: int, form: str | None) -> Writer:
    """Squares of a matrix, in float8 or int8; without a form by the convention of Qwen3's files."""

    def write(layer: str, weight: np.ndarray) -> Written:
        rows, columns = weight.shape
        whole = form == "int8_blockwise"
        values = np.arange(-127.0, 128.0) if whole else float8_values(E4M3)
        scales = np.zeros((-(-rows // side), -(-columns // side)))
        meaning, bound = np.zeros(weight.shape), np.zeros(weight.shape)
        codes = np.zeros(weight.shape, np.uint8)
        for i, j in np.ndindex(scales.shape):
            place = np.s_[i * side : (i + 1) * side, j * side : (j + 1) * side]
            scale = np.asarray(np.float32(np.abs(weight[place]).max() / np.nanmax(values)), float)
            codes[place] = nearest(weight[place] / scale, values)
            meaning[place] = values[codes[place]] * scale
            bound[place] = scale / 2 if whole else float8_step(weight[place], E4M3, scale)
            scales[i, j] = scale
        stored = (codes.astype(np.int16) - 127).astype(np.int8) if whole else codes
        name = f"{layer}.weight_scale" + ("" if form else "_inv")
        tensors = {
            f"{layer}.weight": Tensor("I8" if whole else "F8_E4M3", stored),
            name: f32(scales),
        }
        described = {"format": form, "group_size": side} if form else {}
        return Written(tensors, meaning, bound, described)

    return write


OLD_NAMES = ("scale_weight", "scale_input")
WRITERS: dict[str, Writer] = {
    "fp8 e4m3": plain_float8(E4M3),
    "fp8 e5m2": plain_float8(E5M2),
    **{
        f"old {dtype} {shape}": scaled_float8(kind, shape, names=OLD_NAMES)
        for dtype, kind in (("e4m3", E4M3), ("e5m2", E5M2))
        for shape in ("[]", "[1]", "[N]", "[N, 1]")
    },
    **{
        f"comfy {dtype} {shape}": comfy_float8(kind, shape)
        for dtype, kind in (("e4m3", E4M3), ("e5m2", E5M2))
        for shape in ("[]", "[N]", "[N, 1]")
    },
    "comfy e4m3 rowwise": comfy_float8(E4M3, "[N]", "_rowwise"),
    "int8 []": int8("[]"),
    "int8 [N, 1]": int8("[N, 1]"),
    "convrot 16": int8("[N, 1]", 16),
    "convrot 64": int8("[]", 64),
    "nvfp4": nvfp4(),
    "nvfp4 low first": nvfp4(high_first=False),
    "squares 64 fp8": squares(64, "float8_e4m3fn_blockwise"),
    "squares 32 int8": squares(32, "int8_blockwise"),
    "squares 128": squares(128, None),
    "mxfp8": mxfp8(),
    "mxfp8 e8m0": mxfp8(scales_as="F8_E8M0"),
}
"""One writer for each form of each dialect; all take 64 columns or a multiple."""

IN_NAMES_ALONE = {name for name in WRITERS if name.startswith(("fp8", "old"))} | {
    "nvfp4 low first",
    "squares 128",
}
"""Writers whose files hold no options."""


def file_of(
    written: Mapping[str, Written], path: Path, *, in_metadata: bool = False,
    others: Mapping[str, Tensor] | None = None,
) -> Path:  # fmt: skip
    """Write weights, by layer, with their options in tensors or in the file's metadata."""
    tensors = dict(others or {})
    for layer, weight in written.items():
        tensors |= weight.tensors
        if weight.metadata and not in_metadata:
            tensors[f"{layer}.comfy_quant"] = options(**weight.metadata)
    layers = {layer: weight.metadata for layer, weight in written.items() if weight.metadata}
    table = json.dumps({"format_version": "1.0", "layers": layers})
    return save(path, tensors, {"_quantization_metadata": table} if in_metadata else None)
