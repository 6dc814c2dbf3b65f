"""The earlier pictures in small, and the one that was chosen with what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from engine import PastPicture
from ui import history_strings as words
from ui import strings
from ui.markup import Markup, jpeg_url, tag

MAX_PROMPT: Final = 600
MAX_NAME: Final = 80
GALLERY_SCRIPT: Final = """
element.addEventListener('click', (event) => {
  const chosen = event.target.closest('[data-picture]');
  if (chosen) trigger('select', { picture: Number(chosen.dataset.picture) });
});
const ask = () => {
  const pending = [...element.querySelectorAll('[data-pending]')].slice(0, 6);
  const pictures = pending.map((one) => Number(one.dataset.picture));
  if (pictures.length) trigger('tick', { pictures });
};
watch('value', ask);
document.addEventListener('atelier-small', ask);
"""
"""Asks for the small pictures that are still missing, six at a time."""
SMALL_SCRIPT: Final = """
watch('value', () => {
  for (const made of element.querySelectorAll('[data-small]')) {
    const card = document.querySelector(`#history-gallery [data-picture="${made.dataset.small}"]`);
    if (!card?.hasAttribute('data-pending')) continue;
    card.removeAttribute('data-pending');
    card.append(...made.childNodes);
  }
  document.dispatchEvent(new Event('atelier-small'));
});
"""
"""Puts the small pictures that came into their places."""
CHOSEN_SCRIPT: Final = """
const events = {
  all: 'submit', edit: 'edit', inpaint: 'apply', other: 'retry',
  like: 'like', trash: 'delete', back: 'undo', close: 'clear',
};
element.addEventListener('click', (event) => {
  const act = event.target.closest('[data-act]');
  if (!act) return;
  if (act.dataset.act === 'enlarge') window.atelierEnlarge(act);
  const model = element.querySelector('select')?.value ?? '';
  const picture = Number(act.dataset.picture);
  if (events[act.dataset.act]) trigger(events[act.dataset.act], { picture, model });
});
"""
"""The events by which the buttons of the chosen picture are heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A picture to be shown large. url: where the page serves it, "" where its file is gone."""

    picture: PastPicture
    url: str
    models: Mapping[str, str]


def gallery_markup(
    pictures: Sequence[PastPicture], small: Mapping[int, bytes | None], nothing: str
) -> Markup:
    """Return the pictures in small. small: JPEGs by id, None = there is none.

    Those that are not in it are asked for later. nothing: what to say without any picture.
    """
    if not pictures:
        return tag("p", nothing, class_="note")
    cards = [_card(picture, small) for picture in pictures]
    return tag("div", *cards, class_="gallery", role="group", aria_label=words.PICTURES)


def small_markup(small: Mapping[int, bytes | None]) -> Markup:
    """Return small pictures on their way into the gallery."""
    return tag("div", *(tag("i", _small(jpeg), data_small=one) for one, jpeg in small.items()))


def chosen_markup(chosen: Chosen) -> Markup:
    """Return one picture with its facts and its buttons."""
    picture = chosen.picture
    prompt = str(picture.request.get("prompt", ""))
    shown = prompt if len(prompt) <= MAX_PROMPT else f"{prompt[:MAX_PROMPT]}…"
    gone = tag("p", words.FILE_GONE.format(name=picture.path.name), class_="note warn")
    large = tag("img", src=chosen.url, alt=shown, width=picture.width, height=picture.height)
    frame = tag("div", large if chosen.url else gone, class_="frame")
    caption = tag(
        "figcaption",
        tag("p", shown, class_="prompt", translate="no"),
        tag("p", _facts(picture, chosen.models), class_="facts"),
        _actions(chosen),
    )
    return tag("section", tag("figure", frame, caption), class_="results", aria_label=words.PICTURE)


def back_markup(picture: int) -> Markup:
    """Return the button that takes a picture back out of the trash."""
    return tag("button", words.TAKE_BACK, type="button", data_act="back", data_picture=picture)


def _card(picture: PastPicture, small: Mapping[int, bytes | None]) -> Markup:
    prompt = str(picture.request.get("prompt", ""))[:MAX_NAME]
    pending = picture.id not in small
    inside = [] if pending else [_small(small[picture.id])]
    if picture.favourite:
        inside.append(tag("span", "★", class_="star", aria_hidden="true"))
    name = words.picture_of(prompt, _day(picture.created))
    return tag(
        "button", *inside, type="button", data_picture=picture.id, data_pending=pending,
        aria_label=name, title=name,
    )  # fmt: skip


def _small(jpeg: bytes | None) -> Markup:
    if jpeg is None:
        return tag("span", words.UNREADABLE, class_="gone")
    return tag("img", src=jpeg_url(jpeg), alt="")


def _facts(picture: PastPicture, models: Mapping[str, str]) -> str:
    values = picture.request
    facts = (
        _day(picture.created),
        f"{strings.SEED} {values.get('seed')}",
        strings.steps(values.get("steps")) if values.get("steps") else "",
        f"{picture.width} × {picture.height}",
        models.get(picture.model, picture.model),
        f"{picture.seconds:.1f} s" if picture.seconds else "",
        words.GUEST if picture.session else "",
        picture.path.name,
    )
    return " · ".join(filter(None, facts))


def _actions(chosen: Chosen) -> Markup:
    picture = chosen.picture

    def button(act: str, text: str, **more: str | bool) -> Markup:
        return tag("button", text, type="button", data_act=act, data_picture=picture.id, **more)

    close = button("close", words.CLOSE)
    if picture.trash is not None:
        return tag("div", button("back", words.TAKE_BACK), close, class_="actions")
    options = [
        tag("option", title, value=name, selected=name == picture.model)
        for name, title in chosen.models.items()
    ]
    buttons = [button("all", words.ALL_SETTINGS)]
    if chosen.url:
        name = picture.path.name
        buttons += [button("edit", words.EDIT), button("inpaint", words.INPAINT)]
        buttons.append(tag("a", words.DOWNLOAD, href=chosen.url, download=name))
        buttons.append(button("enlarge", strings.ENLARGE))
    pressed = "true" if picture.favourite else "false"
    buttons.append(button("like", words.FAVOUR, aria_pressed=pressed))
    buttons += [button("trash", words.THROW_AWAY), close]
    other = tag(
        "div",
        tag("select", *options, aria_label=words.MODEL),
        button("other", words.OTHER_MODEL),
        class_="other",
    )
    return tag("div", *buttons, other, class_="actions")


def _day(created: float) -> str:
    return f"{datetime.fromtimestamp(created):%Y-%m-%d %H:%M}"
