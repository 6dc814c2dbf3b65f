from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from engine.checkpoints.unpack.rows import regular_hadamard
from engine.errors import BadRequest, Cancelled, FileRejected
from engine.lora.apply import Adapter, apply, remove
from engine.lora.branch import Branched
from engine.lora.file import read_lora
from engine.lora.match import match
from engine.quant.linear import make_int8
from engine.quant.products import WEIGHT_ONLY, Product, choose
from engine.quant.rows import quantise_rows
from tests.engine.lora.models import CONFIG, effective, fitted, modules, ours, paint
from tests.engine.lora.writer import CORPUS, USUAL, Book


@pytest.fixture(scope="module")
def shelf(base, tmp_path_factory):
    """Books and files of the whole corpus."""
    folder = tmp_path_factory.mktemp("shelf")
    found = {}
    for seed, (name, (write, _)) in enumerate(CORPUS.items()):
        book = Book(base, seed)
        write(book)
        found[name] = (book, read_lora(book.save(folder / name / f"{name}.safetensors")))
    return found


def bits(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def test_a_hundred_stacks_leave_the_model_bit_for_bit(transformer, shelf):
    chance = random.Random(7)
    before, objects, picture = (
        bits(transformer),
        modules(transformer),
        paint(transformer, torch.float32),
    )
    for turn in range(100):
        stack = chance.sample(sorted(shelf), chance.randint(1, 4))
        adapters = [fitted(shelf[name][1], chance.uniform(-2, 2)) for name in stack]
        apply(transformer, adapters)
        assert modules(transformer) != objects
        remove(transformer)
        assert modules(transformer) == objects
        after = bits(transformer)
        assert all(torch.equal(after[name], weight) for name, weight in before.items())
        if turn % 20 == 0:
            assert torch.equal(paint(transformer, torch.float32), picture)
    assert torch.equal(paint(transformer, torch.float32), picture)


def test_a_stack_is_the_sum_of_its_adapters(transformer, shelf, base):
    names = (
        "kohya", "one_trainer_dora", "one_trainer_dora_by_row", "peft_dora", "lycoris_lokr",
        "comfy_native", "loha_of_high_rank", "fused_dora",
    )  # fmt: skip
    weights = (1.5, -0.6, 0.8, -0.7, 1.0, -2.0, 0.1, 0.5)
    apply(transformer, [fitted(shelf[n][1], w) for n, w in zip(names, weights, strict=True)])
    merged = dict(base)
    for name, weight in zip(names, weights, strict=True):
        for changed, delta in shelf[name][0].deltas.items():
            merged[changed] = merged[changed] + weight * delta
    expected, found = ours(merged), effective(transformer)
    for name, weight in expected.items():
        assert (found[name] - weight).abs().max() <= 1e-5 * weight.abs().max(), name


def test_the_order_of_adapters_does_not_matter(transformer, shelf):
    adapters = [fitted(shelf[n][1], 0.4) for n in ("kohya", "peft_dora", "loha", "comfy_native")]
    apply(transformer, adapters)
    forward = effective(transformer)
    apply(transformer, adapters[::-1])
    for name, weight in effective(transformer).items():
        assert torch.allclose(weight, forward[name], rtol=0, atol=1e-5), name


@pytest.mark.parametrize("name", CORPUS)
def test_weights_change_without_reading_the_file_again(name, transformer, shelf, monkeypatch):
    _, lora = shelf[name]
    apply(transformer, [fitted(lora, 2.0)])
    fresh = effective(transformer)
    apply(transformer, [fitted(lora, -1.0)])
    monkeypatch.setattr("engine.lora.apply.open_tensors", None)
    apply(transformer, [fitted(lora, 2.0)])
    again = effective(transformer)
    assert all(torch.equal(again[name], weight) for name, weight in fresh.items())


def test_a_weight_of_zero_is_no_adapter(transformer, shelf):
    objects = modules(transformer)
    captions = apply(transformer, [fitted(shelf["differences_of_vectors"][1], 0.0)])
    assert modules(transformer) == objects
    assert captions == ""


def test_an_empty_stack_removes_what_was_there(transformer, shelf):
    objects = modules(transformer)
    apply(transformer, [fitted(shelf["kohya"][1])])
    apply(transformer, [])
    assert modules(transformer) == objects


def test_another_stack_replaces_the_one_before(transformer, shelf):
    apply(transformer, [fitted(shelf["loha"][1])])
    alone = effective(transformer)
    apply(transformer, [fitted(shelf["kohya"][1]), fitted(shelf["comfy_native"][1], 0.5)])
    apply(transformer, [fitted(shelf["loha"][1])])
    assert all(torch.equal(effective(transformer)[name], w) for name, w in alone.items())


def test_what_does_not_fit_cannot_become_an_adapter(base, tmp_path):
    book = Book(base)
    book.tensors = {"blocks.0.cross_attn.q.lora_A.weight": torch.ones(2, 4),
                    "blocks.0.cross_attn.q.lora_B.weight": torch.ones(4, 2)}  # fmt: skip
    wan = read_lora(book.save(tmp_path / "wan.safetensors"))
    with pytest.raises(FileRejected, match="was made for Wan"):
        fitted(wan)


def test_an_adapter_of_another_model_leaves_none_applied(transformer, shelf):
    objects, lora = modules(transformer), shelf["kohya"][1]
    apply(transformer, [fitted(lora)])
    with pytest.raises(ValueError, match="another model"):
        apply(transformer, [fitted(lora), Adapter(match(lora, replace(CONFIG, n_layers=3)))])
    assert modules(transformer) == objects


def test_a_damaged_adapter_leaves_none_applied(transformer, shelf, base, tmp_path):
    objects, book = modules(transformer), Book(base)
    CORPUS["diffsynth"][0](book)
    book.tensors[f"{USUAL[0]}.lora_A.default.weight"][0, 0] = float("nan")
    damaged = read_lora(book.save(tmp_path / "damaged.safetensors"))
    apply(transformer, [fitted(shelf["kohya"][1])])
    with pytest.raises(FileRejected, match="not finite"):
        apply(transformer, [fitted(shelf["kohya"][1]), fitted(damaged)])
    assert modules(transformer) == objects


def test_a_cancel_while_reading_leaves_none_applied(transformer, shelf):
    objects, calls = modules(transformer), iter([None] * 5)

    def check() -> None:
        if next(calls, "stop") == "stop":
            raise Cancelled("The job was cancelled.")

    with pytest.raises(Cancelled):
        apply(transformer, [fitted(shelf["kohya"][1])], check)
    assert modules(transformer) == objects


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["kohya", "peft_dora", "lycoris_lokr", "loha", "comfy_native"])
def test_numbers_that_are_not_finite_are_refused(name, value, transformer, base, tmp_path):
    book, objects = Book(base), modules(transformer)
    CORPUS[name][0](book)
    last = next(reversed(book.tensors.values()))
    for tensor in (last,) if last.ndim else [t for t in book.tensors.values() if t.ndim][-1:]:
        tensor[(0,) * tensor.ndim] = value
    lora = read_lora(book.save(tmp_path / "broken.safetensors"))
    with pytest.raises(FileRejected, match="not finite"):
        apply(transformer, [fitted(lora)])
    assert modules(transformer) == objects


def test_a_number_too_large_for_half_precision_is_refused(transformer, base, tmp_path):
    book = Book(base)
    CORPUS["diffsynth"][0](book)
    book.tensors[f"{USUAL[0]}.lora_A.default.weight"][0, 0] = 1e6
    lora = read_lora(book.save(tmp_path / "large.safetensors"))
    apply(transformer, [fitted(lora)])
    with pytest.raises(FileRejected, match="not finite in float16"):
        apply(transformer.half(), [fitted(replace(lora, strange=()), 1.0), fitted(lora)])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["kohya", "peft_dora", "one_trainer_dora", "lokr_fused", "loha"])
def test_a_model_of_half_precision_keeps_its_type(name, dtype, transformer, shelf):
    model, (book, lora) = transformer.to(dtype), shelf[name]
    apply(model, [fitted(lora, 0.5)])
    branch = model.get_submodule("layers.0.attention.qkv")
    x = torch.randn(1, 9, 64, dtype=dtype)
    found, plain = branch(x), branch.base(x)
    assert found.dtype == dtype
    change = ours({n: book.deltas.get(n, torch.zeros_like(w)) for n, w in book.base.items()})
    expected = plain.double() + 0.5 * x.double() @ change["layers.0.attention.qkv.weight"].T
    assert (found.double() - expected).norm() <= 0.02 * expected.norm()


@pytest.mark.parametrize("write", ["one_trainer_dora", "one_trainer_dora_by_row"])
def test_a_magnitude_of_nothing_stays_nothing(write, transformer, base, tmp_path):
    silent = {name: torch.zeros_like(weight) for name, weight in base.items()}
    book = Book(base)
    CORPUS[write][0](book)
    for name in [name for name in book.tensors if "lora_" in name]:
        book.tensors[name].zero_()
    transformer.load_state_dict(ours(silent))
    apply(transformer, [fitted(read_lora(book.save(tmp_path / "zero.safetensors")))])
    assert all(not weight.any() for weight in effective(transformer).values())


def test_changed_captions_are_told_apart(transformer, shelf):
    plain = apply(transformer, [fitted(shelf["kohya_fused"][1])])
    first = apply(transformer, [fitted(shelf["kohya"][1], 0.5)])
    louder = apply(transformer, [fitted(shelf["kohya"][1], 0.6)])
    tokens = apply(transformer, [fitted(shelf["differences_of_vectors"][1])])
    assert plain == ""
    assert len({plain, first, louder, tokens}) == 4


def test_a_weight_that_is_no_number_is_refused(shelf):
    with pytest.raises(BadRequest, match="nan"):
        fitted(shelf["kohya"][1], float("nan"))


INT8 = tuple(
    f"layers.{index}.{layer}"
    for index in range(2)
    for layer in ("attention.qkv", "attention.out", "feed_forward.w13", "feed_forward.w2",
                  "modulation")
)  # fmt: skip


def as_int8(model: nn.Module, product: Product, turn: Tensor | None = None) -> dict[str, Tensor]:
    """Make layers int8; return what their weights amount to, float64, by our names.

    turn: what groups of columns are multiplied by before they are rounded, where they divide so.
    """
    rounded = {}
    for name in INT8:
        linear = model.get_submodule(name)
        columns = linear.in_features
        fits = turn is not None and columns % len(turn) == 0
        turns = torch.kron(torch.eye(columns // len(turn)), turn) if fits else torch.eye(columns)
        rows = quantise_rows(linear.weight @ turns)
        make_int8(model, [name], product)
        layer = model.get_submodule(name)
        layer.fill(rows, turn if fits else None)
        layer.bias = linear.bias
        plain = rows.values.double() * rows.scales.double()[:, None]
        rounded[f"{name}.weight"] = plain @ turns.T.double()
    return rounded


@pytest.mark.parametrize(
    "turn", [None, regular_hadamard(16, torch.device("cpu"))], ids=["plain", "turned"]
)
@pytest.mark.parametrize("name", CORPUS)
def test_int8_layers_are_adapted_all_the_same(name, turn, transformer, shelf, base):
    rounded = {**ours(base), **as_int8(transformer, WEIGHT_ONLY, turn)}
    objects, (book, lora) = modules(transformer), shelf[name]
    apply(transformer, [fitted(lora, 0.9)])
    rewritten = Book(theirs(rounded, base), book.seed)
    CORPUS[name][0](rewritten)
    expected, found = ours(rewritten.merged(0.9)), effective(transformer)
    for place, weight in expected.items():
        assert (found[place] - weight).abs().max() <= 1e-5 * weight.abs().max(), place
    remove(transformer)
    assert modules(transformer) == objects


@pytest.mark.parametrize("name", ["kohya", "lokr_fused", "comfy_native", "loha_of_high_rank"])
def test_what_is_added_to_int8_layers_is_not_rounded(name, transformer, shelf):
    as_int8(transformer, choose(torch.device("cpu")))
    book, lora = shelf[name]
    apply(transformer, [fitted(lora, 1.5)])
    changes = ours({n: book.deltas.get(n, torch.zeros_like(w)) for n, w in book.base.items()})
    for place in INT8:
        branch = transformer.get_submodule(place)
        if isinstance(branch, Branched):
            x = torch.randn(40, branch.base.in_features)
            added, expected = (
                branch(x) - branch.base(x),
                1.5 * x.double() @ changes[f"{place}.weight"].T,
            )
            assert (added - expected).norm() <= 1e-5 * expected.norm(), place


@pytest.mark.parametrize("name", ["peft_dora", "one_trainer_dora"])
def test_magnitudes_stand_over_rounded_products_too(name, transformer, shelf, base):
    rounded = {**ours(base), **as_int8(transformer, choose(torch.device("cpu")))}
    book, lora = shelf[name]
    apply(transformer, [fitted(lora)])
    rewritten = Book(theirs(rounded, base), book.seed)
    CORPUS[name][0](rewritten)
    merged = ours(rewritten.merged())
    for place in INT8[:4]:
        layer = transformer.get_submodule(place)
        x = torch.randn(40, merged[f"{place}.weight"].shape[1])
        expected = x.double() @ merged[f"{place}.weight"].T
        assert (layer(x) - expected).norm() <= 0.03 * expected.norm(), place


def theirs(mine: dict[str, Tensor], base: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights by diffusers' names, in the order of `base`."""
    numbered = {name: torch.full_like(w, i) for i, (name, w) in enumerate(base.items())}
    marks, names = ours(numbered), list(base)
    found = {}
    for name, weight in mine.items():
        for number in marks[name].unique():
            found[names[int(number)]] = weight[marks[name] == number].reshape(
                base[names[int(number)]].shape
            )
    return {name: found[name] for name in base}
