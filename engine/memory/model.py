"""A loaded model: its networks, where their weights lie, and the captions it has read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from tokenizers import Tokenizer
from torch import Tensor

from engine.checkpoints.checkpoint import Checkpoint
from engine.checkpoints.load import load_text_encoder, load_vision_encoder
from engine.images.preview import Preview
from engine.lora.apply import Adapter, apply
from engine.memory.pieces import Tour
from engine.memory.place import Place
from engine.memory.plan import Plan
from engine.memory.residence import TEXT_ENCODER, VAE, Residence
from engine.memory.ring import Visits
from engine.memory.visit import on_device
from engine.model.omni import Caption, Reference, Scene
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import Transformer
from engine.model.vae import Vae
from engine.model.vae_strips import WHOLE, Strips

KEPT_CAPTIONS = 32


def _nothing() -> None:
    """Default `check` hook."""


@dataclass(slots=True, kw_only=True)
class Model:
    """A loaded model. plan: where its pieces lie. residence: sees that they do.

    captions: refined caption tokens [P, D] on the CPU, by prompt and by the adapters that they were
    made with, least recent first. notices: what the user should know about how it was loaded. fast:
    the fast ways of computing that the transformer took.
    """

    checkpoint: Checkpoint
    place: Place
    plan: Plan
    residence: Residence
    transformer: Transformer
    vae: Vae
    tokenizer: Tokenizer
    preview: Preview
    notices: tuple[str, ...] = ()
    fast: tuple[str, ...] = ()
    captions: OrderedDict[tuple[str, str], Tensor] = field(default_factory=OrderedDict)
    text_encoder: TextEncoder | None = None

    def adapt(self, adapters: Sequence[Adapter], check: Callable[[], None] = _nothing) -> str:
        """Make the transformer act with exactly these adapters; else as `engine.lora.apply`."""
        try:
            return apply(self.transformer, adapters, check, self.residence.lend)
        finally:
            self.residence.repack()

    def visiting(self, tour: Tour, rounds: int) -> AbstractContextManager[Visits]:
        """Announce `rounds` rounds of a tour, so that its pieces are copied ahead of their visits.

        Each is copied once a visit, and none beyond the last round. Costs nothing where nothing of
        the tour is streamed.
        """
        return self.residence.visiting(tour, rounds)

    def features(self, ids: Tensor, check: Callable[[], None] = _nothing) -> Tensor:
        """Return the features [1, L, cap_feat_dim] of token ids [1, L] int64 on any device.

        They lie on the device, in the type of the transformer. Loads the text encoder where it is
        not there, and lets it go again where the plan says so; `check` may raise between tensors.
        """
        if self.text_encoder is None:
            self.text_encoder = self._read_encoder(check)
        try:
            with self.visiting(Tour.READ, 1):
                features: Tensor = self.text_encoder(ids.to(self.place.device))
        finally:
            if not self.plan.keep_encoder:
                self.drop_encoder()
        return features.to(self.place.dtype)

    def refine(self, features: Tensor) -> Tensor:
        """Return the caption tokens [1, P, D] of features [1, L, cap_feat_dim]."""
        with self.visiting(Tour.REFINE, 1):
            return self.transformer.refine_caption(features)

    def refine_segments(self, features: Sequence[Tensor]) -> Caption:
        """Return the caption of a prompt in segments, [1, L, cap_feat_dim] each."""
        with self.visiting(Tour.REFINE, 1):
            lengths = [[each.shape[1]] for each in features]
            return self.transformer.refine_segments(features, lengths)[0]

    def look(self, caption: Caption, references: Sequence[Reference]) -> Scene:
        """Return a scene of a caption and input pictures, whose tensors may lie anywhere."""
        if not references:
            return self.transformer.look([caption], ())[0]
        with self.visiting(Tour.LOOK, 1):
            return self.transformer.look([caption], [self._sent(each) for each in references])[0]

    def see(
        self, patches: Tensor, grid: tuple[int, int], check: Callable[[], None] = _nothing
    ) -> Tensor:
        """Return what the vision encoder says, [1, rows, columns, C] float32 on the CPU.

        patches: [1, rows * columns, 3 * patch²] float32. Pictures are seen once and then known, so
        it is loaded for each, and passes through the device layer by layer; `check` may raise.
        """
        place, host = self.place, torch.device("cpu")
        # Weights made in inference mode could never be moved.
        with torch.inference_mode(False), torch.no_grad():
            encoder = load_vision_encoder(self.checkpoint, place.dtype, host, check)
            device = torch.device(place.device)
            with on_device(encoder.stops, device, check):
                seen: Tensor = encoder(patches.to(device, place.dtype), grid)
        return seen.to(host, torch.float32)

    def vae_encode(self, pictures: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Return the latents [B, 16, h, w] float32, on the CPU, of pictures [B, 3, 8h, 8w].

        Those are float32, -1..1, on the CPU. The mode of the posterior, in the numbers of the VAE.
        """
        place, vae = self.place, self.vae
        home = strips.home(torch.device(place.device))
        with self.residence.awake(VAE):
            latents = vae.encode(pictures.to(home, place.dtype), strips)
        return latents.to("cpu", torch.float32)

    def vae_decode(self, latents: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Return pictures [B, 3, 8h, 8w], about -1..1, of latents [B, 16, h, w]."""
        with self.visiting(Tour.DECODE, 1):
            return self.vae.decode(latents, strips)

    def recall(self, prompt: str, adapted: str) -> Tensor | None:
        """Return the caption tokens [P, D] of a prompt read before, if they are still there."""
        caption = self.captions.get((prompt, adapted))
        if caption is None:
            return None
        self.captions.move_to_end((prompt, adapted))
        return caption.to(self.place.device)

    def remember(self, prompt: str, adapted: str, caption: Tensor) -> None:
        """Keep the caption tokens [P, D] of a prompt; the least recent one makes room."""
        # No plan counts them among what the device holds.
        self.captions[prompt, adapted] = caption.to("cpu")
        if len(self.captions) > KEPT_CAPTIONS:
            self.captions.popitem(last=False)

    def _sent(self, reference: Reference) -> Reference:
        place = self.place
        return Reference(
            latents=reference.latents.to(place.device, place.dtype),
            features=reference.features.to(place.device, place.dtype),
        )

    def close(self) -> None:
        """Let go of everything; the model cannot be used any more."""
        self.text_encoder = None
        self.captions.clear()
        self.residence.close()

    def drop_encoder(self) -> None:
        """Let go of the text encoder; it is loaded again when a prompt needs it."""
        self.text_encoder = None
        self.residence.part(TEXT_ENCODER)

    def _read_encoder(self, check: Callable[[], None]) -> TextEncoder:
        """Return the text encoder, freshly loaded."""
        place, part = self.place, self.checkpoint.parts.text_encoder
        device = torch.device(place.device)
        # Weights made in inference mode could never be copied over.
        with torch.inference_mode(False), torch.no_grad():
            with self.residence.landing(TEXT_ENCODER, part) as rest:
                encoder = load_text_encoder(
                    self.checkpoint, place.dtype, device, check, form=place.form, rest=rest
                )
            self.residence.join(encoder, rest)
            return encoder
