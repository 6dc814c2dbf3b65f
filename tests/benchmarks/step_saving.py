"""What saving steps costs: `python -m tests.benchmarks.step_saving`.

Paints unseen prompts with Demo Base at its defaults, once in full and once for each choice, with
the same seeds, and compares. The figures stand as data in engine/variants/step_saving.py.
"""

from __future__ import annotations

import argparse
import sys

from engine.demo.evaluate import Painted, adherence, paint
from engine.request import Request
from engine.variants.step_saving import STEP_CACHE_CHOICES, TRUNCATION_CHOICES

FULL = Request(prompt="", model="demo-base", precision="fp32", device="cpu")


def row(name: str, full: list[Painted], saving: list[Painted]) -> str:
    """Return one line: evaluations saved, adherence lost, and how far the pixels are apart."""
    pairs = list(zip(full, saving, strict=True))
    spent = sum(b.result.nfe for _, b in pairs) / sum(a.result.nfe for a, _ in pairs)
    lost = mean_adherence(full) - mean_adherence(saving)
    apart = sum((a.pixels.float() - b.pixels.float()).abs().mean().item() for a, b in pairs)
    figures = f"saved={1 - spent:.2f}, loss={100 * lost:.1f}, difference={apart / len(pairs):.1f}"
    return f"{name:24} {figures}\n"


def mean_adherence(painted: list[Painted]) -> float:
    """Return the share of everything asked for that the pictures show."""
    return adherence([one.score for one in painted]).mean


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    count = parser.parse_args().count
    full = list(paint(FULL, count))
    sys.stdout.write(f"in full: {adherence([one.score for one in full])}\n")
    choices = [("step_cache", choice.value) for choice in STEP_CACHE_CHOICES]
    choices += [("cfg_truncation", choice.value) for choice in TRUNCATION_CHOICES]
    for field, value in choices:
        saving = list(paint(FULL.with_values(**{field: value}), count))
        sys.stdout.write(row(f"{field} {value}", full, saving))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
