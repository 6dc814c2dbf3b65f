"""What is planned for, with what, and the plan: plain values without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from engine.hardware import Host, Rates
from engine.model.config import SIZE_MULTIPLE
from engine.settings import Profile

MIB = 2**20
GIB = 2**30
TOKEN_MULTIPLE = 32
"""Pictures and captions are filled up to a multiple of this, as `SEQUENCE_MULTIPLE` says."""

_ENCODER = "text_encoder."
"""What the names of the text encoder's pieces begin with."""


class Source(StrEnum):
    """Where streamed pieces wait for their visits.

    PINNED: page-locked memory, from which a card copies by itself. PAGED: ordinary memory, copied
    through a page-locked stage. FILE: a file of slabs on the disk, read through such a stage.
    """

    PINNED = "pinned"
    PAGED = "paged"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a job asks of a model.

    width, height: pixels. count: pictures. evaluations: visits of the tour DENOISE for one batch,
    which both guidance branches share. guided: whether there are two branches. prompt_tokens: of
    the longest prompt. saves_steps: whether the outputs of the blocks are kept to be reused.
    encodes: width and height of each picture that the autoencoder encodes. prompts: how many share
    each picture. references: width and height of each picture that is read along with the prompt;
    patches: into how many the vision encoder cuts it at most.
    """

    width: int
    height: int
    count: int
    evaluations: int
    guided: bool
    prompt_tokens: int = 128
    saves_steps: bool = False
    encodes: tuple[tuple[int, int], ...] = ()
    prompts: int = 1
    references: tuple[tuple[int, int], ...] = ()
    patches: int = 0

    @property
    def caption_tokens(self) -> int:
        """Return the tokens of the caption in a sequence."""
        return _padded(self.prompt_tokens)

    @property
    def tokens(self) -> int:
        """Return the tokens of one sequence: pictures and caption."""
        return _image_tokens(self.width, self.height) + self.caption_tokens + self.kept_tokens

    @property
    def sight_tokens(self) -> int:
        """Return the tokens of what is seen of the pictures, and of the target that is not seen."""
        count = len(self.references)
        return count * _padded(self.patches) + TOKEN_MULTIPLE if count else 0

    @property
    def kept_tokens(self) -> int:
        """Return the tokens of a sequence that pictures add; they are the same at every step.

        A prompt is cut at each picture, and the pieces are padded one by one.
        """
        if not self.references:
            return 0
        cuts = TOKEN_MULTIPLE * (len(self.references) + 1)
        return cuts + self.sight_tokens + sum(_image_tokens(*size) for size in self.references)

    @property
    def branches(self) -> int:
        """Return the sequences that are computed for each picture."""
        return self.prompts * (2 if self.guided else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be taken.

    device: as torch names it. device_bytes: what the allocator may take there. On the CPU and on
    Apple's GPUs that is the computer's memory. driver_bytes: what driver or program take besides.
    """

    device: str
    device_bytes: int
    driver_bytes: int = 0
    host: Host = field(default_factory=Host)
    rates: Rates = field(default_factory=Rates)

    @property
    def is_host(self) -> bool:
        """Say whether the device computes in the computer's own memory."""
        return self.device in {"cpu", "mps"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a plan is held to besides the budget.

    tile: the autoencoder works with as little memory as it can. no_residents: every piece is
    streamed. stream_encoder: the text encoder is, whatever fits. batch: pictures denoised at once
    at most, None = as many as are good.
    """

    profile: Profile = Profile.AUTO
    tile: bool = False
    no_residents: bool = False
    stream_encoder: bool = False
    batch: int | None = None

    @property
    def gives_up(self) -> bool:
        """Say whether something is given up for lack of memory."""
        return self.tile or self.no_residents or self.stream_encoder or self.batch is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decode:
    """How the autoencoder works.

    rows: of its maps that are convolved at a time, None = all. on_host: whether whole maps lie in
    the computer's memory and only strips of them on the device.
    """

    rows: int | None = None
    on_host: bool = False


class Footprint(Protocol):
    """Bytes of activations at the peak of each stage; never less than what is taken."""

    def denoise(self, tokens: int, sequences: int) -> int:
        """Return those of one evaluation; tokens: of one sequence, picture and caption."""
        ...

    def encode(self, tokens: int) -> int:
        """Return those of reading one prompt, and of refining its caption."""
        ...

    def decode(self, width: int, height: int, decode: Decode) -> int:
        """Return those on the device of decoding one picture of these sides in pixels."""
        ...

    def encode_picture(self, width: int, height: int, decode: Decode) -> int:
        """Return those on the device of encoding one, by the same strips."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where everything lies and how it moves.

    streamed: names of the pieces that are copied at each visit; all others stay on the device.
    slots, slot_bytes: the ring on the device that they are copied into, 0 where nothing is
    streamed. source: where they wait, but for the text encoder, which waits at encoder_source.
    keep_encoder: whether it stays in some memory between prompts; else it is read from its file
    each time. batch: pictures denoised at once. peak_bytes: most that the device holds at any time,
    of budget_bytes. pinned_bytes: page-locked memory. host_bytes: all memory of the computer that
    weights take, page-locked or not. seconds: predicted for the whole job, None where not known.
    resident: of each tour, how many of how many pieces stay on the device.
    """

    device: str
    precision: str
    streamed: frozenset[str] = frozenset()
    slots: int = 0
    slot_bytes: int = 0
    source: Source = Source.PINNED
    encoder_source: Source = Source.PINNED
    keep_encoder: bool = True
    batch: int = 1
    decode: Decode = Decode()
    peak_bytes: int = 0
    budget_bytes: int = 0
    pinned_bytes: int = 0
    host_bytes: int = 0
    seconds: float | None = None
    resident: tuple[tuple[str, int, int], ...] = ()

    @property
    def sources(self) -> frozenset[Source]:
        """Where streamed pieces wait, the text encoder's and all others; none = nowhere."""
        return frozenset(
            self.encoder_source if name.startswith(_ENCODER) else self.source
            for name in self.streamed
        )

    def holds(self, tour: str) -> bool:
        """Say whether all pieces of a tour stay on the device."""
        return all(kept == every for name, kept, every in self.resident if name == tour)

    def describe(self) -> str:
        """Return the plan in one line, for recipes and for `--json`.

        What is free of the memory is left out, for it changes from one moment to the next.
        """
        parts = [f"{self.device} {self.precision}"]
        if self.streamed:
            counts = [count for count in self.resident if count[2]]
            kept = ", ".join(f"{tour} {n} of {every}" for tour, n, every in counts)
            parts.append(f"resident: {kept}")
            parts.append(f"streamed: {len(self.streamed)} through {self.slots} slots")
            parts.append(f"from {' and '.join(sorted(self.sources))}")
        else:
            parts.append("whole model resident")
        if self.batch > 1:
            parts.append(f"{self.batch} at once")
        if self.decode.rows is not None:
            where = ", maps in host memory" if self.decode.on_host else ""
            parts.append(f"decoded by {self.decode.rows} rows{where}")
        parts.append(f"peak {self.peak_bytes / GIB:.2f} GiB")
        return "; ".join(parts)


def batches(count: int, batch: int) -> list[int]:
    """Return how many of `count` pictures are denoised together, `batch` at most, time by time."""
    return [min(batch, count - done) for done in range(0, count, batch)]


def _image_tokens(width: int, height: int) -> int:
    return _padded(width * height // SIZE_MULTIPLE**2)


def _padded(count: int) -> int:
    return -(-count // TOKEN_MULTIPLE) * TOKEN_MULTIPLE
