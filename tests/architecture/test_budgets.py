"""Every file, function and block stays small; there is no list of exceptions."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

import pytest

from tests.architecture.sources import ROOT, FunctionNode, Module, functions, modules, source

FILE_LINES = 400
FUNCTION_LINES = 50
PARAMETERS = 6
NESTING = 3
COMPOUND = (
    ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match,
)  # fmt: skip


def violations(parsed: Iterable[Module]) -> list[str]:
    """Everything that is larger than the house allows."""
    found = []
    for module in parsed:
        found += _too_long(module.path, module.text)
        for name, node in functions(module):
            faults = ", ".join(_faults(node))
            if faults:
                found.append(f"{module.path}:{node.lineno} {name}: {faults}")
    return found


def _too_long(path: str, text: str) -> list[str]:
    lines = len(text.splitlines())
    return [f"{path}: {lines} lines"] if lines > FILE_LINES else []


def _faults(node: FunctionNode) -> Iterator[str]:
    lines = node.end_lineno - node.lineno + 1
    if lines > FUNCTION_LINES:
        yield f"{lines} lines"
    if _parameters(node) > PARAMETERS:
        yield f"{_parameters(node)} parameters"
    if _depth(node) > NESTING:
        yield f"nested {_depth(node)} deep"


def _parameters(node: FunctionNode) -> int:
    named = [*node.args.posonlyargs, *node.args.args]
    bound = 1 if named and named[0].arg in {"self", "cls"} else 0
    rest = [part for part in (node.args.vararg, node.args.kwarg) if part]
    return len(named) - bound + len(node.args.kwonlyargs) + len(rest)


def _depth(node: ast.AST) -> int:
    """How deep compound statements lie in one another; an elif lies no deeper than its if."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode | ast.ClassDef | ast.Lambda):
            continue
        elif_branch = isinstance(node, ast.If) and node.orelse == [child] and _is_if(child)
        counts = isinstance(child, COMPOUND) and not elif_branch
        deepest = max(deepest, counts + _depth(child))
    return deepest


def _is_if(node: ast.AST) -> bool:
    return isinstance(node, ast.If)


def test_nothing_is_larger_than_its_budget():
    assert violations(modules("app.py", "ui", "engine")) == []


def test_scripts_and_styles_of_the_page_keep_the_budget_too():
    files = [file for file in (ROOT / "ui").rglob("*") if file.suffix in {".js", ".css", ".html"}]
    assert [
        fault for file in files for fault in _too_long(file.name, file.read_text("utf-8"))
    ] == []


def test_the_scanner_sees_the_functions():
    assert sum(1 for module in modules("engine", "ui") for _ in functions(module)) >= 400


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x = 1\n" * 401, "401 lines"),
        ("def f():\n" + "    x = 1\n" * 50, "51 lines"),
        ("def f(a, b, c, d, e, f, g): ...", "7 parameters"),
        ("class A:\n    def f(self, a, b, c, *d, e, f, **g): ...", "7 parameters"),
        (
            "def f():\n for a in b:\n  if a:\n   with a:\n    while a:\n     pass",
            "nested 4 deep",
        ),
        (
            "class A:\n def f(self):\n  try:\n   pass\n  except E:\n   for a in b:\n"
            "    if a:\n     for c in d:\n      pass",
            "nested 4 deep",
        ),
    ],
)
def test_what_is_too_large_is_found(text, fault):
    (found,) = violations([source(text)])
    assert found.endswith(fault)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n" * 400,
        "def f():\n" + "    x = 1\n" * 49,
        "class A:\n    def f(self, a, b, c, d, e, f): ...",
        "def f():\n if a:\n  pass\n elif b:\n  pass\n elif c:\n  pass\n elif d:\n  f()",
        "def f():\n for a in b:\n  if a:\n   for c in d:\n    x = [e for e in c if e]",
    ],
)
def test_what_fits_passes(text):
    assert violations([source(text)]) == []
