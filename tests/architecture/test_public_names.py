"""The engine's public names: all there, each once, in order; the page uses no others."""

from __future__ import annotations

import ast
from collections.abc import Iterable

import engine
from tests.architecture.sources import Module, modules, source


def order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by the alphabet: as the linter sorts them."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name


def foreign_names(parsed: Iterable[Module], public: Iterable[str]) -> list[str]:
    """Names that modules take from the engine though it does not offer them."""
    return [
        f"{module.path}:{node.lineno} {alias.name}"
        for module in parsed
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "engine"
        for alias in node.names
        if alias.name not in public
    ]


def test_public_names_are_in_order_and_named_once():
    names = list(engine.__all__)
    assert names == sorted(set(names), key=order)


def test_every_public_name_is_there():
    missing = [name for name in engine.__all__ if not hasattr(engine, name)]
    assert missing == []


def test_no_public_name_is_private():
    assert [n for n in engine.__all__ if n.startswith("_") and n != "__version__"] == []


def test_the_page_uses_public_names_only():
    assert foreign_names(modules("app.py", "ui"), engine.__all__) == []


def test_a_name_that_is_not_offered_is_found():
    assert foreign_names([source("from engine import Engine, Secret", "ui.x")], ["Engine"]) == [
        "ui/x.py:1 Secret"
    ]
