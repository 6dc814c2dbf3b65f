"""The pictures of this session, each with the recipe it was made by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ui import strings
from ui.markup import Markup, tag

MAX_SHOWN: Final = 24
PAIR: Final = "pair"
"""Marks the two pictures of a comparison, as numbers mark single ones."""
MAX_PROMPT: Final = 600
"""Characters of a prompt that are shown; the recipe has all of them."""
RESULTS_SCRIPT: Final = """
element.addEventListener('click', (event) => {
  const thumb = event.target.closest('[data-thumb]');
  const act = event.target.closest('[data-act]');
  if (thumb) window.atelierPick(element, thumb.dataset.thumb);
  if (act?.dataset.act === 'enlarge') window.atelierEnlarge(act);
  if (act?.dataset.act === 'seed') trigger('submit', { index: Number(act.dataset.index) });
  if (act?.dataset.act === 'all') trigger('select', { index: Number(act.dataset.index) });
  if (act?.dataset.act === 'edit') trigger('edit', { index: Number(act.dataset.index) });
  if (act?.dataset.act === 'inpaint') trigger('apply', { index: Number(act.dataset.index) });
});
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A picture on the page.

    url: where the page serves it. name: of its file; path: of itself. model: its title. seconds: of
    its whole job. outside: what is to be said of the picture that it was painted over.
    """

    url: str
    name: str
    path: Path
    model: str
    width: int
    height: int
    seconds: float
    recipe: Mapping[str, object]
    outside: str = ""

    @property
    def request(self) -> Mapping[str, object]:
        """The settings in the recipe, by name."""
        values = self.recipe.get("request")
        return values if isinstance(values, dict) else {}

    @property
    def loras(self) -> str:
        """The adapters in the recipe, in a few words."""
        found = self.request.get("loras")
        named = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        return ", ".join(
            f"{str(one.get('name')).removesuffix('.safetensors')} {one.get('weight')}"
            for one in named
        )

    @property
    def facts(self) -> str:
        """The recipe in one line."""
        values = self.request
        size = f"{self.width} × {self.height}"
        return " · ".join(
            (
                f"{strings.SEED} {values.get('seed')}",
                strings.steps(values.get("steps")),
                size,
                self.model,
                *filter(None, [self.loras]),
                f"{self.seconds:.1f} s",
            )
        )


def results_markup(shown: tuple[Shown, ...], *, compact: bool = False) -> Markup:
    """Return the gallery: the newest picture large, all of them small below it.

    compact: only the small ones, while the stage shows a picture coming into being.
    """
    if not shown:
        return Markup("")
    figures = [] if compact else [_figure(p, i, hidden=i > 0) for i, p in enumerate(shown)]
    needed = compact or len(shown) > 1
    strip = [_strip(shown, pressed=not compact)] if needed else []
    return tag("section", *figures, *strip, class_="results", aria_label=strings.ALL_PICTURES)


def pair_markup(shown: tuple[Shown, ...]) -> Markup:
    """Return the gallery with its two newest pictures side by side: with adapters, and without."""
    sides = [(shown[1], strings.WITHOUT), (shown[0], strings.with_loras(shown[0].loras))]
    halves = [
        tag("div", tag("p", title, class_="line"), tag("div", _image(side, title), class_="frame"))
        for side, title in sides
    ]
    caption = tag("figcaption", tag("p", shown[0].facts, class_="facts"))
    pair = tag("figure", tag("div", *halves, class_="pair"), caption, data_figure=PAIR)
    figures = [_figure(picture, i, hidden=True) for i, picture in enumerate(shown)]
    strip = _strip(shown, pressed=True, pair=True)
    return tag("section", pair, *figures, strip, class_="results", aria_label=strings.ALL_PICTURES)


def _figure(picture: Shown, index: int, *, hidden: bool) -> Markup:
    prompt = str(picture.request.get("prompt", ""))
    if len(prompt) > MAX_PROMPT:
        prompt = f"{prompt[:MAX_PROMPT]}…"
    frame = tag("div", _image(picture, prompt), class_="frame")
    caption = tag(
        "figcaption",
        tag("p", prompt, class_="prompt", translate="no"),
        tag("p", picture.facts, class_="facts"),
        *([tag("p", picture.outside, class_="facts")] if picture.outside else []),
        _actions(picture, index),
    )
    return tag("figure", frame, caption, data_figure=index, hidden=hidden)


def _image(picture: Shown, text: str) -> Markup:
    return tag("img", src=picture.url, alt=text, width=picture.width, height=picture.height)


def _actions(picture: Shown, index: int) -> Markup:
    def button(act: str, text: str) -> Markup:
        return tag("button", text, type="button", data_act=act, data_index=index)

    return tag(
        "div",
        button("edit", strings.EDIT_THIS),
        button("inpaint", strings.INPAINT_THIS),
        button("seed", strings.USE_SEED),
        button("all", strings.REUSE),
        tag("a", strings.DOWNLOAD, href=picture.url, download=picture.name),
        button("enlarge", strings.ENLARGE),
        class_="actions",
    )


def _strip(shown: tuple[Shown, ...], *, pressed: bool, pair: bool = False) -> Markup:
    thumbs = [_pair_thumb(shown)] if pair else []
    thumbs += [
        tag(
            "button",
            tag("img", src=picture.url, alt="", loading="lazy"),
            type="button",
            data_thumb=index,
            disabled=not pressed,
            aria_label=strings.picture_name(index + 1),
            aria_pressed="true" if pressed and index == 0 and not pair else "false",
        )
        for index, picture in enumerate(shown)
    ]
    return tag("div", *thumbs, class_="strip")


def _pair_thumb(shown: tuple[Shown, ...]) -> Markup:
    return tag(
        "button",
        *(tag("img", src=picture.url, alt="", loading="lazy") for picture in shown[1::-1]),
        type="button",
        data_thumb=PAIR,
        aria_label=strings.COMPARE,
        aria_pressed="true",
        class_="both",
    )
