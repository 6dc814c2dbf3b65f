"""`app.py bench`: how fast it paints, alone or beside the reference implementation."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from engine.cli import subjects
from engine.cli.bench_all import compare_all
from engine.cli.bench_forward import whole_forward
from engine.cli.bench_int8 import int8_figures
from engine.cli.files import check_file
from engine.cli.measure import Arm, count_forwards, medians
from engine.cli.terminal import say
from engine.errors import BadRequest, NotFound
from engine.events import Result
from engine.jobs.order import Hooks, Order, Output
from engine.memory.probe import hardware
from engine.memory.studio import Place, Studio
from engine.model.config import LATENT_SCALE
from engine.request import Device, Precision, Request
from engine.run import execute
from engine.sampling.schedules import model_times
from engine.storage import atomic_write
from engine.tasks.find import find_model
from engine.tasks.resolve import choose_device, choose_precision, complete

ROUNDS = 3
IMAGE_SIDE = 512
"""Pixels; 1024 image tokens."""

PROMPT = "a large red circle on a white background, number {}"
REFERENCE = "diffusers"

Figures = list[dict[str, Any]]


def bench(options: argparse.Namespace) -> int:
    """Measure what the options ask for, print it, and write it to a file where wanted."""
    if options.json is not None:
        check_file(options.json, "--json")
    if options.all:
        return _write(options.json, [_against_everyone(options)])
    if options.quick or options.peer_python is not None:
        raise BadRequest("--quick and --peer-python belong to --all.", "Add --all.")
    beside = options.against is not None
    if beside:
        subjects.import_reference()
    machine = hardware()
    device = choose_device(Device.AUTO, machine)
    place = Place(device=device, precision=choose_precision(Precision.AUTO, device, machine))
    say(f"device {device}, PyTorch {torch.__version__}, {torch.get_num_threads()} threads")
    if options.random_weights:
        figures = _random_pictures(options.random_weights, place, beside=beside)
    elif options.model is None and beside:
        figures = [*_forwards(device), whole_forward(device)]
    else:
        figures = [_pictures(options.model or "demo-turbo", place, options.data_dir, beside=beside)]
    if options.model is None and not options.random_weights:
        figures.append(int8_figures(device))
    return _write(options.json, figures)


def _write(file: Path | None, figures: Figures) -> int:
    if file is not None:
        atomic_write(file, json.dumps(figures, indent=2).encode() + b"\n")
    return 0


def _against_everyone(options: argparse.Namespace) -> dict[str, Any]:
    """Compare with everyone, with a model folder that they all can read."""
    python: Path | None = options.peer_python
    if python is not None and not python.is_file():
        raise NotFound(f"{str(python)!r:.200} of --peer-python is no file.", "Name a Python.")
    model = None
    if options.model is not None:
        asked = Request(prompt="", model=options.model)
        model = find_model(asked, options.data_dir).path
    return compare_all(options.random_weights, model, python, quick=options.quick)


def _pictures(model: str, place: Place, data_dir: Path, *, beside: bool) -> dict[str, Any]:
    """Measure whole jobs with a model, each with a prompt that it has not read before."""
    asked = Request(prompt="", model=model)
    checkpoint, results = find_model(asked, data_dir), list[Result]()
    studio = Studio()
    quiet = Hooks(emit=lambda _: None, warn=lambda _: None, cancelled=lambda: False)

    def request(number: int) -> Request:
        asked = Request(
            prompt=PROMPT.format(number), model=model, seed=number, precision=place.precision
        )
        return complete(asked, checkpoint, 0)

    with tempfile.TemporaryDirectory() as folder:
        output = Output(folder=Path(folder))

        def ours(number: int) -> None:
            order = Order(job="bench", request=request(number), output=output)
            results.append(execute(order, studio, quiet))

        arms = [Arm(name="ours", run=ours)]
        if beside:
            pipeline = subjects.load_reference(checkpoint.path, place)
            arms.append(Arm(name=REFERENCE, run=lambda n: pipeline.paint(request(n))))
        seconds = medians(arms, ROUNDS, place.device)
    first, *warm = results
    stages = {
        stage: statistics.median(result.seconds[stage] for result in warm)
        for stage in first.seconds
    }
    say(f"{model}, {request(0).width} x {request(0).height}, {place.precision}, {first.nfe} "
        f"evaluations; with loading {first.seconds['total']:.3f} s, then per picture:")  # fmt: skip
    _say_seconds(seconds)
    for stage in (stage for stage in stages if stage != "total"):
        say(f"  ours, {stage:<26} {stages[stage]:.3f} s")
    return {"what": "pictures", "model": model, "precision": place.precision, "nfe": first.nfe,
            "seconds": seconds, "stages": stages}  # fmt: skip


def _random_pictures(size: str, place: Place, *, beside: bool) -> Figures:
    """Measure pictures of a random model, from a prompt's features to pixels."""
    if size == "full" and place.device == Device.CPU:
        raise BadRequest(
            "--random-weights full fills 6 billion weights and needs a graphics card.",
            "Use --random-weights demo, or --against diffusers for one forward at full width.",
        )
    networks = subjects.build(subjects.ARCHITECTURES[size], place)
    reference = subjects.same_reference(networks) if beside else None
    return [
        {"size": size, **_random_picture(networks, reference, side)}
        for side in networks.architecture.sides
    ]


def _random_picture(
    networks: subjects.Networks, reference: subjects.Reference | None, side: int
) -> dict[str, Any]:
    """Measure square pictures of one size."""
    place = networks.place
    arms = [Arm(name="ours", run=lambda number: subjects.paint(networks, side, number))]
    counted: dict[str, torch.nn.Module] = {"ours": networks.transformer}
    if reference is not None:
        arms.append(Arm(name=REFERENCE, run=lambda n: reference.paint_features(networks, side, n)))
        counted[REFERENCE] = reference.transformer
    forwards = count_forwards(counted, lambda: [arm.run(0) for arm in arms])
    seconds = medians(arms, ROUNDS, place.device)
    say(f"random weights, dim {networks.architecture.transformer.dim}, {side} x {side}, "
        f"{place.precision}, per picture without reading the prompt:")  # fmt: skip
    _say_seconds(seconds)
    for name, count in forwards.items():
        say(f"  {name + ', forwards':<32} {count}")
    return {"what": "random pictures", "side": side, "precision": place.precision,
            "forwards": forwards, "seconds": seconds}  # fmt: skip


def _say_seconds(seconds: dict[str, float]) -> None:
    for name, value in seconds.items():
        say(f"  {name:<32} {value:.3f} s")
    for name in [arm for arm in seconds if arm != REFERENCE and REFERENCE in seconds]:
        ratio = seconds[name] / seconds[REFERENCE]
        say(f"  {f'{name} / {REFERENCE}':<32} {ratio:.3f}")


def _forwards(device: str) -> Figures:
    """Measure one forward at the full width, in float32 and bfloat16."""
    figures: Figures = []
    for precision in (Precision.FP32, Precision.BF16):
        place = Place(device=device, precision=precision)
        architecture = replace(subjects.ARCHITECTURES["demo"], transformer=subjects.WIDE)
        figures.append(forward_figures(architecture, place, IMAGE_SIDE))
    return figures


@torch.inference_mode()
def forward_figures(architecture: subjects.Architecture, place: Place, side: int) -> dict[str, Any]:
    """Compare one forward of ours and of the reference, with the same random weights.

    The reference refines the caption in every forward, ours once per prompt; so ours is measured
    with and without.
    """
    networks = subjects.build(architecture, place)
    ours, theirs = networks.transformer, subjects.reference_transformer(networks.transformer)
    told = subjects.features(architecture, place, 0)
    cells = side // LATENT_SCALE
    start = torch.randn(1, 16, cells, cells, generator=torch.Generator().manual_seed(0))
    x, sigma = start.to(place.device, place.dtype), torch.tensor([0.7])
    time = model_times(sigma).to(place.device)
    context = ours.arrange([ours.refine_caption(told)[0]], cells, cells)
    modulation = ours.modulate(time)

    def anew() -> torch.Tensor:
        fresh = ours.arrange([ours.refine_caption(told)[0]], cells, cells)
        found: torch.Tensor = ours(x, ours.modulate(time), fresh)
        return found

    def reference() -> torch.Tensor:
        pictures = theirs([x[0].unsqueeze(1)], time, [told[0]], return_dict=False)[0]
        found: torch.Tensor = pictures[0].squeeze(1).unsqueeze(0)
        return found

    right, found = reference().double(), anew().double()
    off = ((found - right).norm() / right.norm()).item()
    arms = (
        Arm(name="ours", run=lambda _: ours(x, modulation, context)),
        Arm(name="ours with caption refiner", run=lambda _: anew()),
        Arm(name=REFERENCE, run=lambda _: reference()),
    )
    seconds = medians(arms, ROUNDS, place.device)
    tokens = cells * cells // architecture.transformer.patch_size**2
    say(f"one forward, dim {architecture.transformer.dim}, {architecture.transformer.n_layers} "
        f"layers and refiners, {tokens} image tokens, {place.precision}:")  # fmt: skip
    _say_seconds(seconds)
    say(f"  {'relative L2':<32} {off:.1e}")
    return {"what": "forward", "dim": architecture.transformer.dim, "image tokens": tokens,
            "precision": place.precision, "seconds": seconds, "relative L2": off}  # fmt: skip
