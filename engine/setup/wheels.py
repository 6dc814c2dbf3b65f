"""Which PyTorch build fits a machine.

`python -m engine.setup.wheels` writes four lines: the arguments for pip (empty where no build
exists), the reason, the label of the build, and advice (often empty).
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from engine.setup.machine import Gpu, Machine, probe
from engine.setup.table import BUILDS, NO_BUILD, OVERRIDE, RULES, SITE, TORCH, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The build for a machine: pip_arguments is empty and label `none` where there is no build."""

    label: str
    pip_arguments: tuple[str, ...]
    reason: str
    advice: str = ""


def choose(machine: Machine, override: str = "") -> Choice:
    """Return the build for this machine; the same machine always gets the same answer.

    Of several cards the largest that has a build decides; where none has, the reason tells what
    keeps the largest from being used. override: a label that is taken as it stands; one that does
    not exist ends the program with a sentence.
    """
    if override:
        return _forced(override)
    cards: list[Gpu | None] = [*sorted(machine.gpus, key=_rank), None]
    verdicts = [(rule, gpu) for gpu in cards if (rule := _first_rule(machine, gpu)) is not None]
    if not verdicts:
        return Choice(
            label=NO_BUILD,
            pip_arguments=(),
            reason=f"PyTorch has no build for {machine.system} on {machine.architecture}",
            advice="Use Linux or Windows on x86_64 or arm64, or a Mac with Apple silicon.",
        )
    usable = (verdict for verdict in verdicts if verdict[0].label not in {"cpu", NO_BUILD})
    rule, gpu = next(usable, verdicts[0])
    return Choice(
        label=rule.label,
        pip_arguments=_pip_arguments(rule.label),
        reason=f"{_describe(gpu)}: {rule.reason}" if gpu else rule.reason,
        advice=rule.advice,
    )


def choose_here() -> Choice:
    """Return the build for this machine, or the one that the environment variable names."""
    return choose(probe(), os.environ.get(OVERRIDE, ""))


def main() -> int:
    """Write the choice for this machine, one fact a line; 1 where there is no build."""
    choice = choose_here()
    lines = (" ".join(choice.pip_arguments), choice.reason, choice.label, choice.advice)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return int(choice.label == NO_BUILD)


def _first_rule(machine: Machine, gpu: Gpu | None) -> Rule | None:
    return next((rule for rule in RULES if _fits(rule, machine, gpu)), None)


def _fits(rule: Rule, machine: Machine, gpu: Gpu | None) -> bool:
    if machine.system not in rule.systems or machine.architecture not in rule.architectures:
        return False
    if gpu is None or rule.vendor is None:
        return gpu is None and rule.vendor is None
    return rule.vendor == gpu.vendor and _fits_card(rule, gpu)


def _fits_card(rule: Rule, gpu: Gpu) -> bool:
    device = "" if gpu.device_id is None else f"{gpu.device_id:04X}"
    checks = (
        not rule.capability or _within(gpu.compute_capability, rule.capability),
        not rule.driver or (gpu.driver or (-1,))[0] in range(*rule.driver),
        not rule.gfx or (gpu.gfx or "").startswith(rule.gfx),
        not rule.device or device.startswith(rule.device),
    )
    return all(checks)


def _within(value: tuple[int, int] | None, limits: tuple[tuple[int, int], tuple[int, int]]) -> bool:
    return value is not None and limits[0] <= value <= limits[1]


def _rank(gpu: Gpu) -> tuple[int, int, tuple[int, int]]:
    major, minor = gpu.compute_capability or (0, 0)
    return ("nvidia", "amd", "intel").index(gpu.vendor), -gpu.memory_mib, (-major, -minor)


def _describe(gpu: Gpu) -> str:
    facts = []
    if gpu.compute_capability:
        facts.append("compute capability {}.{}".format(*gpu.compute_capability))
    if gpu.driver:
        facts.append("driver " + ".".join(str(part) for part in gpu.driver))
    if gpu.memory_mib:
        facts.append(f"{gpu.memory_mib / 1024:.0f} GB")
    if gpu.gfx:
        facts.append(gpu.gfx)
    name = {"nvidia": "NVIDIA", "amd": "AMD", "intel": "Intel"}[gpu.vendor]
    return f"{name} graphics card" + (f" ({', '.join(facts)})" if facts else "")


def _forced(label: str) -> Choice:
    if label not in BUILDS:
        raise SystemExit(f"{OVERRIDE}={label} names no build; choose one of {', '.join(BUILDS)}.")
    arguments = _pip_arguments(label)
    return Choice(label=label, pip_arguments=arguments, reason=f"{OVERRIDE} asks for {label}")


def _pip_arguments(label: str) -> tuple[str, ...]:
    if label == NO_BUILD:
        return ()
    folder = BUILDS[label].folder
    return (TORCH, "--index-url", SITE + folder) if folder else (TORCH,)


if __name__ == "__main__":
    sys.exit(main())
