"""Public functions of the mathematics that take a tensor state shapes, like `[B, 16, h, w]`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

import pytest

from tests.architecture.sources import FunctionNode, Module, functions, modules, source

PLACES = ("engine/model", "engine/sampling", "engine/denoise.py")


def tensor_functions(parsed: Iterable[Module]) -> Iterator[tuple[str, FunctionNode]]:
    """Public functions and methods with a tensor among their parameters."""
    for module in parsed:
        for name, node in functions(module):
            public = not any(part.startswith(("_", "<")) for part in name.split("."))
            if public and _takes_a_tensor(node):
                yield f"{module.path}:{node.lineno} {name}", node


def _takes_a_tensor(node: FunctionNode) -> bool:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return any("Tensor" in ast.unparse(a.annotation) for a in every if a.annotation)


def without_shapes(parsed: Iterable[Module]) -> list[str]:
    """Those whose docstring shows no shape."""
    found = tensor_functions(parsed)
    return [place for place, node in found if "[" not in (ast.get_docstring(node) or "")]


def test_every_function_that_takes_a_tensor_states_shapes():
    assert without_shapes(modules(*PLACES)) == []


def test_the_scanner_sees_the_mathematics():
    assert len(list(tensor_functions(modules(*PLACES)))) >= 25


@pytest.mark.parametrize(
    "text",
    [
        "def f(x: Tensor) -> Tensor: ...",
        "def f(x: torch.Tensor | None):\n    '''Scale x.'''",
        "class A:\n    def forward(self, *, x: list[Tensor]):\n        '''Scale x.'''",
    ],
)
def test_a_missing_shape_is_found(text):
    assert len(without_shapes([source(text)])) == 1


@pytest.mark.parametrize(
    "text",
    [
        "def f(x: Tensor):\n    '''Scale x: [B, D].'''",
        "def _f(x: Tensor): ...",
        "def f(x: float):\n    def inner(y: Tensor): ...",
        "class _A:\n    def forward(self, x: Tensor): ...",
        "def f(x: float): ...",
    ],
)
def test_what_needs_no_shape_passes(text):
    assert without_shapes([source(text)]) == []
