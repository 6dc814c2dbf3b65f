"""Optimisers of the Demo training: Muon for matrices and convolutions, AdamW for the rest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

EMBEDDINGS = ("embed_tokens", "modulation", "x_embedder", "final_linear", "t_embedder", "pad_token")
"""Parts of a name that mark a matrix as an embedding or a projection out: those get AdamW."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Learning rates and the shape of their schedule over a run (progress 0..1)."""

    matrices: float = 2e-3
    others: float = 2e-3
    warmup_steps: int = 50
    decay_from: float = 0.6
    floor: float = 0.02

    def factor(self, step: int, progress: float) -> float:
        """Return the multiplier of the rates: a warm-up, a plateau, then a line down."""
        rise = min(1.0, (step + 1) / self.warmup_steps)
        fall = (1.0 - progress) / (1.0 - self.decay_from)
        return rise * max(self.floor, min(1.0, fall))


class Optimizer:
    """Muon (as `torch.optim.Muon`) and AdamW over one module, with a moving average of weights.

    Muon takes matrices only; a convolution is shown to it as a matrix that shares its memory.
    """

    def __init__(self, module: nn.Module, rates: Rates, ema_decay: float) -> None:
        self.rates = rates
        self.ema_decay = ema_decay
        self.named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.average = {name: p.detach().clone() for name, p in self.named.items()}
        self._matrices = {
            name: nn.Parameter(p.detach().flatten(1))
            for name, p in self.named.items()
            if p.ndim >= 2 and not any(part in name for part in EMBEDDINGS)
        }
        rest = [p for name, p in self.named.items() if name not in self._matrices]
        self._muon = torch.optim.Muon(
            self._matrices.values(),
            lr=rates.matrices,
            weight_decay=0.01,
            adjust_lr_fn="match_rms_adamw",
        )
        self._adam = torch.optim.AdamW(
            rest, lr=rates.others, betas=(0.9, 0.98), weight_decay=0.0, fused=True
        )

    def gradients(self) -> list[Tensor]:
        """Return the gradient of every parameter that has one, in a fixed order."""
        return [p.grad for p in self.named.values() if p.grad is not None]

    def step(self, step: int, progress: float) -> None:
        """Clip, apply the gradients at this point of the schedule, and clear them."""
        torch.nn.utils.clip_grad_norm_(self.named.values(), 1.0)
        factor = self.rates.factor(step, progress)
        for optimizer, rate in ((self._muon, self.rates.matrices), (self._adam, self.rates.others)):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        for name, matrix in self._matrices.items():
            gradient = self.named[name].grad
            matrix.grad = None if gradient is None else gradient.flatten(1)
        self._muon.step()
        self._adam.step()
        for parameter in self.named.values():
            parameter.grad = None
        decay = min(self.ema_decay, (step + 1) / (step + 10))
        current = [p.detach() for p in self.named.values()]
        torch._foreach_lerp_(list(self.average.values()), current, 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """Return weights, averages and moments as named tensors, for a checkpoint."""
        tensors = {f"weight.{name}": p.detach() for name, p in self.named.items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        for kind, optimizer in (("muon", self._muon), ("adam", self._adam)):
            for index, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"{kind}.{index}.{key}": value for key, value in moments.items()}
        return {name: value.contiguous() for name, value in tensors.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up the tensors of `state`, saved from a module of the same shape."""
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(tensors[f"weight.{name}"])
                self.average[name].copy_(tensors[f"average.{name}"])
        for kind, optimizer in (("muon", self._muon), ("adam", self._adam)):
            saved: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                head, _, tail = name.partition(".")
                if head == kind:
                    index, key = tail.split(".", 1)
                    saved.setdefault(int(index), {})[key] = value
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": saved, "param_groups": groups})
