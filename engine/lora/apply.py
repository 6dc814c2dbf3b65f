"""Applies adapters to a transformer, changes how strongly they act, and takes them off again.

A linear layer that an adapter changes is replaced by the same layer with a branch beside it; norms,
biases and padding tokens by changed copies. Every change is computed from the weights of the model
alone, so that the order of adapters does not matter, and what was replaced is kept: taking adapters
off puts the very same modules back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import InitVar, dataclass, field
from itertools import chain
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from engine.checkpoints.files import label
from engine.checkpoints.tensors import TensorFile, open_tensors
from engine.errors import BadRequest, FileRejected
from engine.lora.branch import Branched, Origin, Weights
from engine.lora.deltas import Build, build, read_raw
from engine.lora.file import LoraFile
from engine.lora.match import Fit, Match, require
from engine.model.transformer import Transformer

Lend = Callable[[nn.Module], AbstractContextManager[None]]
"""Sees that a module's tensors are real for a while, wherever they lie."""

_PLACE: Final = "adapters"
"""Name under which a transformer holds what was replaced in it."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """What of a file is applied, and how strongly it acts. What does not fit cannot become one.

    partial: allows a file of which little fits. notices: what the user should know. Raise
    `FileRejected` for a file that does not fit, `BadRequest` for a weight that is no number.
    """

    found: Match
    weight: float = 1.0
    partial: InitVar[bool] = False
    notices: tuple[str, ...] = field(init=False)

    def __post_init__(self, partial: bool) -> None:
        """Check both."""
        if not math.isfinite(self.weight):
            raise BadRequest(f"The weight of {self.found.lora.name!r:.80} is {self.weight}.")
        object.__setattr__(self, "notices", require(self.found, partial=partial))


@dataclass(frozen=True, slots=True)
class _Vector:
    """A parameter that is no matrix, with what each adapter adds to it, float32."""

    owner: nn.Module
    name: str
    original: Tensor
    deltas: list[tuple[int, slice, Tensor]]

    def weigh(self, weights: Weights) -> None:
        """Replace the parameter by its changed copy."""
        changed = self.original.float().clone()
        for adapter, rows, delta in self.deltas:
            changed[rows] += weights[adapter] * delta
        _replace(self.owner, self.name, changed.to(self.original.dtype))

    def restore(self) -> None:
        """Put the original back."""
        setattr(self.owner, self.name, self.original)


class _Adaptation(nn.Module):
    """What was replaced in a transformer, and by what."""

    def __init__(self, files: Sequence[LoraFile]) -> None:
        super().__init__()
        self.files = tuple(files)
        self.branches: list[tuple[nn.Module, str, Branched]] = []
        self.vectors: list[_Vector] = []

    def weigh(self, weights: Weights) -> None:
        """Set how strongly each adapter acts."""
        for _, _, branch in self.branches:
            branch.weigh(weights)
        for vector in self.vectors:
            vector.weigh(weights)


def apply(
    transformer: Transformer,
    adapters: Sequence[Adapter],
    check: Callable[[], None] = lambda: None,
    lend: Lend = lambda _: nullcontext(),
) -> str:
    """Make a transformer act with exactly these adapters, whatever was applied before.

    Return what stands for their changes of caption tokens, empty where there are none: tokens made
    under another such text must not be used again. Where the files are the same as before only the
    weights are set; an adapter of weight 0 is left out. `check` runs before each change is read; it
    may raise to cancel. Changes lie where their layer does, or in the computer's memory where that
    has no memory of its own: `lend` brings its weights while they are needed. Raises `FileRejected`
    for a damaged adapter, `ValueError` for one that was matched with another architecture; then
    none is applied.
    """
    active = [adapter for adapter in adapters if adapter.weight]
    try:
        if any(adapter.found.config != transformer.config for adapter in active):
            raise ValueError("an adapter was matched with another model")
        _put(_Reader(transformer, {}, {}, check, lend), [adapter.found for adapter in active])
    except BaseException:
        remove(transformer)
        raise
    state = _state(transformer)
    if state is not None:
        state.weigh([adapter.weight for adapter in active])
    touching = [(a.found.lora, a.weight) for a in active if a.found.touches_captions]
    return " ".join(f"{file.path} {file.header.stamp} {weight!r}" for file, weight in touching)


def remove(transformer: Transformer) -> None:
    """Take every adapter off; the transformer's own modules and weights are back as they were."""
    state = _state(transformer)
    if state is None:
        return
    for parent, name, branch in state.branches:
        setattr(parent, name, branch.base)
    for vector in state.vectors:
        vector.restore()
    delattr(transformer, _PLACE)


def _state(transformer: Transformer) -> _Adaptation | None:
    found = getattr(transformer, _PLACE, None)
    return found if isinstance(found, _Adaptation) else None


def _put(reader: _Reader, matches: Sequence[Match]) -> None:
    """Read the adapters and set them beside the layers, unless the same ones are there."""
    transformer = reader.transformer
    state = _state(transformer)
    files = tuple(found.lora for found in matches)
    if files == (state.files if state else ()):
        return
    remove(transformer)
    if files:
        state = _prepare(reader, matches)
        for parent, name, branch in state.branches:
            setattr(parent, name, branch)
        transformer.add_module(_PLACE, state)


def _prepare(reader: _Reader, matches: Sequence[Match]) -> _Adaptation:
    """Read everything; the transformer is not changed yet."""
    state = _Adaptation([found.lora for found in matches])
    for adapter, found in enumerate(matches):
        reader.read(adapter, found)
    for name, built in reader.layers.items():
        parent, _, leaf = name.rpartition(".")
        branch = Branched(built.layer, built.terms())
        state.branches.append((reader.transformer.get_submodule(parent), leaf, branch))
    state.vectors = list(reader.vectors.values())
    return state


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads changes into branches, by layer, and vectors, by name."""

    transformer: Transformer
    layers: dict[str, Build]
    vectors: dict[str, _Vector]
    check: Callable[[], None]
    lend: Lend

    def read(self, adapter: int, found: Match) -> None:
        """Read one adapter."""
        with open_tensors([found.lora.header]) as source:
            for fit in found.fits:
                self.check()
                self._read_one(adapter, fit, found.lora, source)

    def _read_one(self, adapter: int, fit: Fit, lora: LoraFile, source: TensorFile) -> None:
        owner = self.transformer.get_submodule(fit.target.module)
        uses_weights = fit.change.decomposed or not fit.target.linear
        with self.lend(owner) if uses_weights else nullcontext():
            raw = read_raw(fit.change, source.read, _home(owner))
            if fit.target.linear:
                dtype = self.transformer.x_embedder.weight.dtype
                self._layer(fit, dtype).add(fit.change, raw, _origin(adapter, fit), lora)
            else:
                delta = _finite(raw["diff"], fit, lora)
                self._vector(fit).deltas.append((adapter, fit.target.rows, delta))

    def _layer(self, fit: Fit, dtype: torch.dtype) -> Build:
        name = fit.target.module
        if name not in self.layers:
            layer = self.transformer.get_submodule(name)
            own = layer.weight.dtype if isinstance(layer, nn.Linear) else dtype
            self.layers[name] = build(layer, own)
        return self.layers[name]

    def _vector(self, fit: Fit) -> _Vector:
        target = fit.target
        name = f"{target.module}.{target.parameter}"
        if name not in self.vectors:
            owner = self.transformer.get_submodule(target.module)
            original = cast(Tensor, getattr(owner, target.parameter))
            self.vectors[name] = _Vector(owner, target.parameter, original, [])
        return self.vectors[name]


def _home(owner: nn.Module) -> torch.device:
    """Return where the tensors of a module lie; those that are nowhere go through the CPU."""
    device = next(chain(owner.parameters(), owner.buffers())).device
    return torch.device("cpu") if device.type == "meta" else device


def _origin(adapter: int, fit: Fit) -> Origin:
    return Origin(adapter, fit.target.rows, fit.change.scale)


def _finite(delta: Tensor, fit: Fit, lora: LoraFile) -> Tensor:
    """Return a difference in the shape of its target; raise `FileRejected` for NaN, infinity."""
    if bool(delta.isfinite().all()):
        return delta.reshape(fit.target.shape)
    raise FileRejected(
        f"{label(lora.path)}: the change of {fit.change.module!r:.120} holds numbers that are not "
        "finite.",
        "Download it again, or ask its author.",
    )


def _replace(owner: nn.Module, name: str, value: Tensor) -> None:
    """Put a tensor in the place of a parameter or buffer."""
    frozen: Any = nn.Parameter(value, requires_grad=False)
    setattr(owner, name, value if name in owner._buffers else frozen)
