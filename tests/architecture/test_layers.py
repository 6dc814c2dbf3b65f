"""Imports go down only: app, then ui, then the engine's public names; and inside the engine too."""

from __future__ import annotations

import graphlib
import subprocess
import sys
from collections.abc import Iterable

import pytest

from tests.architecture.sources import ROOT, Module, imports, modules, source

# From the top down. A unit may use what lies below it, and its neighbours where no circle results.
LAYERS = (
    {"cli", "service"},
    {"worker"},
    {"run"},
    {"tasks", "denoise"},
    {"checkpoints", "lora", "quant", "memory", "images", "hub", "chains", "sheets"},
    {"model", "sampling", "variants"},
    {"cache", "inputs", "storage", "settings", "log", "jobs", "journal", "presets", "prompts"},
    {"request", "checks", "events", "errors", "hardware", "strict_json", "lasting", "setup"},
)
FLOOR = {unit: depth for depth, units in enumerate(LAYERS) for unit in units}
HEAVY = {"torch", "transformers", "safetensors", "optimum", "diffusers"}
MATHS = {"model", "sampling"}
NOT_IN_MATHS = {"os", "pathlib", "json", "io", "shutil", "tempfile"}


def violations(parsed: Iterable[Module]) -> list[str]:
    """Every import that looks up, or that its room does not hold."""
    parsed = list(parsed)
    found = []
    for module in parsed:
        for name, line in imports(module):
            fault = _fault(module, name)
            if fault:
                found.append(f"{module.path}:{line} imports {name}: {fault}")
    return found + _circles(parsed)


def _fault(module: Module, name: str) -> str | None:
    top = name.split(".")[0]
    if module.name.startswith("engine"):
        return _fault_in_engine(module, name, top)
    if module.name.startswith("ui"):
        return _fault_in_ui(name, top)
    return None


def _fault_in_ui(name: str, top: str) -> str | None:
    if top in HEAVY:
        return "the page must open before PyTorch is imported"
    if top == "app":
        return "app is above ui"
    if _engine_unit(name) in {*FLOOR, "demo"}:
        return "ui uses the public names of engine and nothing deeper"
    return None


def _fault_in_engine(module: Module, name: str, top: str) -> str | None:
    if top in {"gradio", "gradio_client", "ui", "app"}:
        return "the engine knows no page"
    if module.unit in MATHS and top in NOT_IN_MATHS:
        return "mathematics reads no files"
    unit = _engine_unit(name)
    if unit is None or module.unit in {"", "demo", unit}:
        return None
    if unit == "demo":
        return "only the Demo family's own scripts import it"
    if unit not in FLOOR or module.unit not in FLOOR:
        return "this unit has no floor in LAYERS, or an engine module imports the engine itself"
    return "that is above" if FLOOR[unit] < FLOOR[module.unit] else None


def _engine_unit(name: str) -> str | None:
    """`memory` for engine.memory.plan; None for what is not of the engine."""
    parts = name.split(".")
    return parts[1] if parts[0] == "engine" and len(parts) > 1 else None


def _circles(parsed: list[Module]) -> list[str]:
    graph: dict[str, set[str]] = {}
    for module in parsed:
        for name, _ in imports(module):
            unit = _engine_unit(name)
            if module.unit in FLOOR and unit in FLOOR and unit != module.unit:
                graph.setdefault(module.unit, set()).add(unit)
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        return [f"units import each other in a circle: {' > '.join(error.args[1])}"]
    return []


def test_imports_go_down_only():
    assert violations(modules("app.py", "ui", "engine")) == []


def test_the_scanner_sees_the_house():
    units = {module.unit for module in modules("engine")}
    assert units - {"", "demo"} <= set(FLOOR)
    assert len(units) >= 20
    assert len(modules("engine")) >= 75
    assert len(modules("ui")) >= 10


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("engine.run", "import gradio as gr"),
        ("engine.run", "from ui.shell import build"),
        ("engine.denoise", "from engine.run import execute"),
        ("engine.denoise", "def f():\n    from engine import worker"),
        ("engine.model.vae", "from engine.memory.plan import plan"),
        ("engine.model.vae", "from ..memory import plan"),
        ("engine.model.vae", "from pathlib import Path"),
        ("engine.sampling.samplers", "import os.path"),
        ("engine.sampling.samplers", "import json"),
        ("engine.worker", "from engine import Engine"),
        ("engine.run", "from engine.demo import scenes"),
        ("engine.run", "from engine.nowhere import x"),
        ("ui.shell", "import torch"),
        ("ui.tabs.generate", "from engine.request import Request"),
        ("ui.tabs.generate", "from engine import memory"),
        ("ui.shell", "import app"),
    ],
)
def test_an_import_that_looks_up_is_found(name, text):
    assert len(violations([source(text, name)])) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ui.tabs.generate", "from engine import Engine, Request"),
        ("ui.tabs.generate", "from ui.components.size import size_picker"),
        ("engine.tasks.edit", "from engine.denoise import denoise"),
        ("engine.model.vae", "import math\nimport torch"),
        ("engine.demo.train", "from engine.run import execute\nfrom pathlib import Path"),
        ("engine", "from engine.service import Engine"),
    ],
)
def test_an_import_that_looks_down_passes(name, text):
    assert violations([source(text, name)]) == []


def test_neighbours_that_import_each_other_are_found():
    here = source("from engine.quant import linear", "engine.memory.plan")
    there = source("from engine.memory import plan", "engine.quant.linear")
    assert violations([here]) == violations([there]) == []
    assert "circle" in violations([here, there])[0]


@pytest.mark.parametrize("name", ["engine", "ui.shell"])
def test_importing_it_leaves_torch_alone(name):
    program = f"import sys, {name}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == 0
