"""How much memory the networks work in, in closed form: what `Footprint` asks. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engine.checkpoints.checkpoint import Checkpoint
from engine.memory.ledger import Networks, Numbers, networks_of
from engine.memory.work import Decode
from engine.model.footprint import transformer_footprint
from engine.model.vae_footprint import decode_footprint, encode_footprint
from engine.request import Precision

_SINGLE: Final = 4
"""Bytes of a float32 number, in which norms and sums of whole numbers are computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFootprint:
    """Activations of a model's three networks, computed in `numbers`."""

    networks: Networks
    numbers: Numbers

    def denoise(self, tokens: int, sequences: int) -> int:
        """Return the bytes of one evaluation; tokens: of one sequence, picture and caption."""
        return transformer_footprint(
            self.networks.transformer,
            tokens,
            sequences,
            self.numbers.item_bytes,
            is_int8=self.numbers.precision is Precision.INT8,
        )

    def encode(self, tokens: int) -> int:
        """Return the bytes of reading one prompt, and of refining its caption."""
        config, item = self.networks.text_encoder, self.numbers.item_bytes
        hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
        queries = int(config["head_dim"]) * int(config["num_attention_heads"])
        # A layer's input, what attends, and what is gated, as if all of it were there at once.
        row = (4 * hidden + 4 * queries + 3 * inner) * item + 2 * max(hidden, queries) * _SINGLE
        if self.numbers.precision is Precision.INT8:
            row += 2 * inner * _SINGLE
        read = tokens * (row + tokens * item)
        return max(read, self.denoise(tokens, 1))

    def decode(self, width: int, height: int, decode: Decode) -> int:
        """Return the bytes on the device of decoding one picture of these sides in pixels."""
        return self._coded(decode_footprint, width, height, decode)

    def encode_picture(self, width: int, height: int, decode: Decode) -> int:
        """Return the bytes on the device of encoding one, by the same strips."""
        return self._coded(encode_footprint, width, height, decode)

    def _coded(self, footprint: Callable[..., int], width: int, height: int, decode: Decode) -> int:
        vae, item = self.networks.vae, self.numbers.item_bytes
        return footprint(vae, width, height, item, rows=decode.rows, on_host=decode.on_host)


def footprint_of(checkpoint: Checkpoint, numbers: Numbers) -> ModelFootprint:
    """Return what an opened model works in, computed in `numbers`."""
    return ModelFootprint(networks=networks_of(checkpoint), numbers=numbers)
