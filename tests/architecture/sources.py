"""Reads the program's source files as syntax trees, for the tests of the house rules."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One source file; name is dotted, `engine` for engine/__init__.py."""

    name: str
    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def unit(self) -> str:
        """What the layers are made of: `memory` for engine.memory.plan, `` for engine itself."""
        return self.name.split(".")[1] if "." in self.name else ""

    @property
    def is_package(self) -> bool:
        return self.path.endswith("__init__.py")


def source(text: str, name: str = "engine.example") -> Module:
    """A module that exists in a test only."""
    return Module(name, name.replace(".", "/") + ".py", text)


def modules(*places: str) -> list[Module]:
    """Every Python file of the places, which are files or folders seen from the root."""
    found = []
    for place in places:
        top = ROOT / place
        files = [top] if top.is_file() else sorted(top.rglob("*.py"))
        found += [_read(file.relative_to(ROOT)) for file in files]
    return found


def _read(file: Path) -> Module:
    parts = file.with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, file.as_posix(), (ROOT / file).read_text(encoding="utf-8"))


def imports(module: Module) -> Iterator[tuple[str, int]]:
    """Dotted names that a module imports, with their lines; `from a import b` gives `a.b`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node)
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def _base(module: Module, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    above = module.name.split(".")
    above = above[: len(above) - node.level + module.is_package]
    return ".".join([*above, *([node.module] if node.module else [])])


def functions(module: Module) -> Iterator[tuple[str, FunctionNode]]:
    """Every function and method with its qualified name, nested ones too."""
    yield from _functions_in(module.tree, "")


def _functions_in(node: ast.AST, prefix: str) -> Iterator[tuple[str, FunctionNode]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode):
            yield f"{prefix}{child.name}", child
        below = prefix
        if isinstance(child, FunctionNode | ast.ClassDef):
            below += f"{child.name}." + ("<locals>." if isinstance(child, FunctionNode) else "")
        yield from _functions_in(child, below)


def tracked_files() -> list[Path]:
    """The files that git tracks; empty where the tree came without its history."""
    if not (ROOT / ".git").exists():
        return []
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
