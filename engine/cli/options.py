"""The options of every command, declared once."""

from __future__ import annotations

import argparse
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from engine.cli.batch_options import add_batch_options
from engine.cli.convert import add_convert_options
from engine.cli.downloads import add_download_options, add_verify_options
from engine.cli.models import add_add_options
from engine.cli.picture_options import add_edit_options, add_inpaint_options, picture_values
from engine.errors import BadRequest
from engine.presets import Presets
from engine.request import DRAWN_SEEDS, LongPrompt, Lora, Precision, Request
from engine.settings import Profile, Settings

_DATA_DIR: Mapping[str, Any] = MappingProxyType(
    {
        "metavar": "DIR",
        "type": Path,
        "help": "folder of settings, models and history, and of pictures (default: the program's)",
    }
)
_SIZE = re.compile(r"(\d{1,6})[xX×](\d{1,6})")
_WEIGHT = re.compile(r"[-+]?(\d{1,9}(\.\d{0,9})?|\.\d{1,9})([eE][-+]?\d{1,2})?")


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `BadRequest` instead of leaving the program."""

    def error(self, message: str) -> NoReturn:
        """Raise `BadRequest` for arguments that cannot be."""
        raise BadRequest(f"{message[:1].upper()}{message[1:]}.", f"See {self.prog} --help.")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line; `command` is None for the page.

    Raise `BadRequest` naming what is wrong; leave the program only to answer --help.
    """
    parser = Parser(
        prog="app.py",
        description="Atelier Z paints pictures from words. Without a command it opens its page.",
        allow_abbrev=False,
    )
    page = _add_page_options(parser)
    parser.add_argument("--data-dir", dest="page_data_dir", **_DATA_DIR)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _add_painting(commands)
    _add_batch(commands)
    _add_models(commands)
    add_convert_options(_add_command(commands, "convert", "write a model as bf16 or int8"))
    _add_bench(commands)
    _add_command(
        commands,
        "doctor",
        "what this machine is, what was chosen for it and why, and a proof that it works",
    )
    options = parser.parse_args(arguments)
    given = getattr(options, "data_dir", None) or options.page_data_dir or Settings().data_dir
    options.data_dir = given.absolute()
    misplaced = [a for a in page if getattr(options, a.dest) != a.default]
    if options.command is not None and misplaced:
        name = misplaced[0].option_strings[0]
        raise BadRequest(
            f"The option {name} before {options.command} belongs to the page.",
            f"Give options after the command; see app.py {options.command} --help.",
        )
    return options


def _add_page_options(parser: Parser) -> list[argparse.Action]:
    """Add the page's options; their names inside differ from those of the commands."""
    group = parser.add_argument_group("the page")

    def add(name: str, dest: str, **rest: object) -> argparse.Action:
        return group.add_argument(name, dest=f"page_{dest}", **rest)  # type: ignore[arg-type]

    return [
        add("--host", "host", metavar="H", default="127.0.0.1", help="address to listen at"),
        add("--port", "port", metavar="P", type=_port, help="port to listen at"),
        add("--share", "share", action="store_true", help="open a guest page for others"),
        add("--password", "password", metavar="P", help="password of the shared page"),
        add("--no-browser", "quiet", action="store_true", help="do not open a browser"),
        add("--vram", "vram", metavar="GB", type=float, help="memory of the card to use"),
        add("--device", "device", metavar="D", help="auto, cpu, cuda, cuda:N or mps"),
    ]


def _add_command(commands: argparse._SubParsersAction[Parser], name: str, purpose: str) -> Parser:
    """Add a command, or an action of one, with what each of them takes."""
    parser = commands.add_parser(name, help=purpose, allow_abbrev=False)
    parser.add_argument("--data-dir", **_DATA_DIR)
    return parser


def _add_painting(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the commands that paint what one prompt says."""
    for command, purpose, add_options in (
        ("generate", "paint pictures from words", lambda parser: None),
        ("edit", "change a picture, or make one of up to three", add_edit_options),
        ("inpaint", "repaint parts of a picture, or extend it", add_inpaint_options),
    ):
        parser = _add_command(commands, command, purpose)
        parser.add_argument("prompt", metavar="PROMPT", help="what to paint")
        parser.add_argument(
            "-o", dest="out", metavar="OUT.png", type=Path,
            help="file to write, a .png, .webp or .jpg; of several: OUT-1.png ... "
            "(default: a fresh name in outputs)",
        )  # fmt: skip
        add_options(parser)
        _add_painting_options(parser)


def _add_batch(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _add_command(commands, "batch", "change many pictures, with a contact sheet")
    add_batch_options(parser)
    _add_painting_options(parser)


def _add_painting_options(parser: Parser) -> None:
    """Add what every painting command takes."""
    default = Request(prompt="")
    add = parser.add_argument
    add("--model", metavar="NAME-or-PATH", default=default.model, help=f"default {default.model}")
    add("--negative", metavar="TEXT", default="", help="what not to paint; needs guidance")
    add("--seed", metavar="N", type=int, help="of the noise; picture i has seed + i")
    add("--steps", metavar="N", type=int, help="evaluations of the model")
    add("--guidance", metavar="G", type=float, help="how strongly to follow the prompt, 0 = off")
    add("--shift", metavar="S", type=float, help="of the noise schedule")
    add("--sampler", metavar="NAME", default=default.sampler, help=f"default {default.sampler}")
    add("--size", metavar="WxH", type=_size, default=(None, None), help="in pixels")
    add("--count", metavar="N", type=int, default=1, help="number of pictures")
    add("--cfg-normalization", metavar="X", type=float, default=0.0, help="0 = off")
    add("--cfg-truncation", metavar="T", type=float, default=1.0, help="1 = off")
    add("--step-cache", metavar="X", type=float, default=0.0,
        help="reuse steps that change less than this, such as 0.1; 0 = off")  # fmt: skip
    add("--lora", metavar="FILE[:WEIGHT]", action="append", type=_lora, default=[],
        help="adapter to apply, a path or a name in loras/; may be repeated")  # fmt: skip
    add("--lora-partial", action="store_true", help="apply a LoRA of which much does not fit")
    add("--wildcards", action="store_true",
        help="draw the words of __lists__ and {these|those}, by the seed")  # fmt: skip
    add("--long-prompt", metavar="HOW", type=_long_prompt, default=LongPrompt.CUT,
        help="beyond 512 tokens: cut, sentence (end at one) or full (up to 1504)")  # fmt: skip
    add("--variant", metavar="NAME", help="what the model is, where its file cannot tell")
    add("--precision", metavar="P", type=_precision, default=Precision.AUTO,
        help=", ".join(Precision))  # fmt: skip
    add("--device", metavar="D", default=default.device, help="auto, cpu, cuda, cuda:N or mps")
    add("--vram", metavar="GB", type=float, help="memory of the graphics card to use")
    add("--profile", metavar="P", type=_profile, default=Profile.AUTO,
        help="how to share out memory: auto, or 1 (much) to 5 (little)")  # fmt: skip
    add("--save-latents", metavar="FILE.safetensors", type=Path, help="keep the latents too")
    add("--json", action="store_true", help="print one line of JSON for each picture")


def _add_models(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser("models", help="the models there are", allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = _add_command(actions, "list", "list the models")
    listing.add_argument("--json", action="store_true", help="print JSON")
    info = _add_command(actions, "info", "say what a model or a LoRA is")
    info.add_argument("model", metavar="NAME-or-PATH", help="a model of the list, or a path")
    info.add_argument("--json", action="store_true", help="print JSON")
    for action, purpose, add_options in (
        ("download", "fetch a model", add_download_options),
        ("add", "put a model on the list", add_add_options),
        ("verify", "check a model that was fetched", add_verify_options),
    ):
        add_options(_add_command(actions, action, purpose))


def _add_bench(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _add_command(commands, "bench", "measure how fast it paints")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", metavar="NAME-or-PATH", help="default demo-turbo")
    which.add_argument(
        "--random-weights", metavar="SIZE", choices=("demo", "full"),
        help="demo or full: a model of this size, filled at random",
    )  # fmt: skip
    parser.add_argument(
        "--against", metavar="NAME", choices=("diffusers",), help="diffusers: compare with it"
    )
    parser.add_argument(
        "--all", action="store_true",
        help="compare with everyone that this machine can run, whole and within limits of memory",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="with --all: what takes minutes")
    parser.add_argument(
        "--peer-python", metavar="PATH", type=Path,
        help="with --all: Python of an environment that has mmgp and diffusers",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to a file")


def request_of(options: argparse.Namespace) -> Request:
    """Return the request of a painting command; raise `BadRequest`."""
    width, height = options.size
    request = Request(
        prompt=options.prompt,
        negative=options.negative,
        model=options.model,
        seed=options.seed,
        steps=options.steps,
        guidance_scale=options.guidance,
        shift=options.shift,
        sampler=options.sampler,
        width=width,
        height=height,
        count=options.count,
        cfg_normalization=options.cfg_normalization,
        cfg_truncation=options.cfg_truncation,
        step_cache=options.step_cache,
        precision=options.precision,
        device=options.device,
        loras=tuple(options.lora),
        lora_partial=options.lora_partial,
        variant=options.variant,
        long_prompt=options.long_prompt,
        **picture_values(options),
    )
    return _drawn(request, options.data_dir) if options.wildcards else request


def _drawn(request: Request, data_dir: Path) -> Request:
    """Return a request whose word lists are drawn, by its seed or by one that it gets for that."""
    lists = Presets(data_dir).wildcards
    seed = secrets.randbelow(DRAWN_SEEDS) if request.seed is None else request.seed
    return request.with_values(
        seed=seed,
        prompt=lists.expand(request.prompt, seed).prompt,
        negative=lists.expand(request.negative, seed).prompt,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOptions:
    """How the page is to be opened."""

    host: str
    port: int | None
    share: bool
    password: str | None
    browser: bool


def page_options(options: argparse.Namespace) -> PageOptions:
    """Return the page's options."""
    return PageOptions(
        host=options.page_host,
        port=options.page_port,
        share=options.page_share,
        password=options.page_password,
        browser=not options.page_quiet,
    )


def page_settings(options: argparse.Namespace, settings: Settings) -> Settings:
    """Return the user's settings with what the command line says instead."""
    changes: dict[str, Any] = {}
    if options.page_vram is not None:
        changes["vram_gb"] = options.page_vram
    if options.page_device is not None:
        changes["device"] = options.page_device
    return replace(settings, **changes)


def _size(text: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no size such as 1024x768")
    return int(match[1]), int(match[2])


def _lora(text: str) -> Lora:
    """Read FILE[:WEIGHT]; a colon that no number follows belongs to the file's name."""
    name, colon, weight = text.rpartition(":")
    has_weight = bool(colon) and _WEIGHT.fullmatch(weight) is not None
    try:
        return Lora(name, float(weight)) if has_weight else Lora(text)
    except BadRequest as error:
        raise argparse.ArgumentTypeError(error.message.rstrip(".")) from None


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:9]) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no port from 1 to 65535")
    return int(text)


def _profile(text: str) -> Profile:
    if text not in set(Profile):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is none of {', '.join(Profile)}")
    return Profile(text)


def _long_prompt(text: str) -> LongPrompt:
    if text not in set(LongPrompt):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is none of {', '.join(LongPrompt)}")
    return LongPrompt(text)


def _precision(text: str) -> Precision:
    if text not in set(Precision):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is none of {', '.join(Precision)}")
    return Precision(text)
