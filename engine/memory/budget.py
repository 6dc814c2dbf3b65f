"""What may be taken of a machine, and how numbers lie in it: rules of thumb, without torch."""

from __future__ import annotations

from typing import Final

from engine.hardware import MIN_BF16_CAPABILITY, Card, Host, Rates
from engine.memory.ledger import Numbers
from engine.memory.work import GIB, MIB, Budget
from engine.request import Precision

CONTEXT_BYTES: Final = 350 * MIB
"""What CUDA's driver and kernels take of a card before the first tensor."""

DISPLAY_BYTES: Final = 768 * MIB
"""The same beside a screen, whose programs come and go: Windows would move ours to slow memory."""

PROGRAM_BYTES: Final = 256 * MIB
"""What Python and PyTorch take of the computer's memory before the first tensor."""

HOST_SHARE: Final = 0.9
"""What the CPU may take of the memory that is free."""

UNKNOWN: Final = 1 << 60

_ITEM_BYTES: Final = {Precision.FP32: 4, Precision.BF16: 2, Precision.FP16: 4}


def device_budget(card: Card, vram_gb: float | None) -> int:
    """Return the bytes that torch may take of a card, of which the user allows `vram_gb` GiB.

    None = all that is free. Apple's GPU has no driver context of its own.
    """
    context = 0 if card.kind == "mps" else CONTEXT_BYTES
    reserve = DISPLAY_BYTES if card.display else context
    budget = card.free_bytes - reserve
    if vram_gb is not None:
        budget = min(budget, int(vram_gb * GIB) - context)
    return max(0, budget)


def budget_for(
    device: str, card: Card | None, host: Host, rates: Rates, vram_gb: float | None = None
) -> Budget:
    """Return what may be taken of a device; card: None for the CPU, which knows no vram_gb.

    host: what this process holds of a model counts as available.
    """
    if card is None:
        free = int(HOST_SHARE * host.available_bytes) if host.available_bytes else UNKNOWN
        return Budget(
            device=device,
            device_bytes=max(0, free - PROGRAM_BYTES),
            driver_bytes=PROGRAM_BYTES,
            host=host,
            rates=rates,
        )
    return Budget(
        device=device,
        device_bytes=device_budget(card, vram_gb),
        driver_bytes=0 if card.kind == "mps" else CONTEXT_BYTES,
        host=host,
        rates=rates,
    )


def numbers_of(
    precision: Precision, device: str, card: Card | None, *, has_bf16: bool = False
) -> Numbers:
    """Return how numbers lie on a device in a precision; has_bf16: of the CPU, False if not known.

    Beside int8, and instead of float16, which overflows, bfloat16 or float32 is computed in.
    """
    if card is not None:
        has_bf16 = device == "mps" or card.capability[0] >= MIN_BF16_CAPABILITY
    beside = 2 if has_bf16 else 4
    is_old = precision is Precision.INT8 and device.startswith("cuda") and not has_bf16
    return Numbers(
        precision=precision,
        item_bytes=_ITEM_BYTES.get(precision, beside),
        half=precision is Precision.FP16 or is_old,
    )
