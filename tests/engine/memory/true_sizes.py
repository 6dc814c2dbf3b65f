"""The public 6 B model as the planner sees it, without a file."""

from __future__ import annotations

from engine.hardware import Host, Rates
from engine.memory.activations import ModelFootprint
from engine.memory.budget import CONTEXT_BYTES
from engine.memory.ledger import Networks, Numbers
from engine.memory.pieces import Sizes, model_sizes
from engine.memory.plan import Budget, Work
from engine.memory.work import GIB
from engine.model.config import TransformerConfig, VaeConfig
from engine.request import Precision

QWEN3 = {
    "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 9728, "vocab_size": 151936,
}  # fmt: skip
PUBLIC = Networks(transformer=TransformerConfig(), text_encoder=QWEN3, vae=VaeConfig())

INT8 = Numbers(precision=Precision.INT8, item_bytes=2)
BF16 = Numbers(precision=Precision.BF16, item_bytes=2)
FP32 = Numbers(precision=Precision.FP32, item_bytes=4)
OLD_INT8 = Numbers(precision=Precision.INT8, item_bytes=4, half=True)
HALF = Numbers(precision=Precision.FP16, item_bytes=4, half=True)
EVERY = (INT8, BF16, FP32, OLD_INT8, HALF)

HOST = Host(total_bytes=32 * GIB, available_bytes=28 * GIB, cores=8)
RTX_3060 = Rates(link=12e9, disk=2e9, operations={"int8": 60e12, "bf16": 22e12, "fp16": 22e12})
RTX_4090 = Rates(link=25e9, disk=5e9, operations={"int8": 400e12, "bf16": 140e12, "fp16": 140e12})


def sizes(numbers: Numbers = INT8) -> Sizes:
    return model_sizes(PUBLIC, numbers)


def footprint(numbers: Numbers = INT8) -> ModelFootprint:
    return ModelFootprint(networks=PUBLIC, numbers=numbers)


def work(side: int = 1024, **changes: object) -> Work:
    values = {
        "width": side, "height": side, "count": 1, "evaluations": 8, "guided": False, **changes
    }  # fmt: skip
    return Work(**values)


def card(gb: float, host: Host = HOST, rates: Rates = RTX_3060) -> Budget:
    """What an empty card of so many GB leaves for tensors."""
    return Budget(
        device="cuda",
        device_bytes=max(0, int(gb * GIB) - CONTEXT_BYTES),
        driver_bytes=CONTEXT_BYTES,
        host=host,
        rates=rates,
    )
