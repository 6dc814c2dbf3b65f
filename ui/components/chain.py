"""The steps of a chain of edits, as rows: each row goes on from a step of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from engine import INPUT_PREFIX, Chain, NotFound
from ui import edit_strings as words
from ui import strings
from ui.components.pictures import Given
from ui.markup import Markup, tag

MAX_PROMPT: Final = 200
CHAIN_SCRIPT: Final = """
element.addEventListener('click', (event) => {
  const step = event.target.closest('[data-step]');
  const act = event.target.closest('[data-act]');
  if (step) trigger('select', { step: step.dataset.step });
  const frame = element.closest('.z-right')?.querySelector('.compare .frame');
  if (act?.dataset.act === 'enlarge') frame?.requestFullscreen?.();
  else if (act) trigger(act.dataset.act, {});
});
const follow = () => {
  const chosen = element.querySelector('[aria-pressed="true"][data-step]');
  const source = chosen?.querySelector('img')?.getAttribute('src');
  const results = element.closest('.z-right')?.querySelector('.z-results');
  const figures = [...(results?.querySelectorAll('[data-figure]') ?? [])];
  const same = (figure) => figure.querySelector('img')?.getAttribute('src') === source;
  const found = figures.find(same);
  if (chosen && results) window.atelierPick(results, found?.dataset.figure ?? 'none');
  for (const button of element.querySelectorAll('[data-own]')) button.hidden = Boolean(found);
};
watch('value', () => requestAnimationFrame(follow));
"""
"""Asks for what is clicked, and shows beside the chosen step what the results say of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a page shows of a chain. pictures: of its links, by name.

    looked: the step that is looked at. held: the step that all others are compared with, None: each
    with the one before it.
    """

    chain: Chain = field(default_factory=Chain)
    pictures: Mapping[str, Given] = field(default_factory=dict)
    looked: str | None = None
    held: str | None = None

    @property
    def sides(self) -> tuple[Given | None, Given | None]:
        """The pictures to compare: before, and after."""
        after = self.pictures.get(self.looked or "")
        before = self.held
        if before is None and self.looked is not None and self.chain.has(self.looked):
            before = self.chain.find(self.looked).parent
        return (None if before == self.looked else self.pictures.get(before or "")), after

    @property
    def titles(self) -> tuple[str, str]:
        """What the pictures to compare are called; steps by their numbers where one is held."""
        numbers = {link.name: words.step(n) for n, link in enumerate(self.chain.links, 1)}
        if self.held not in numbers or self.looked not in numbers:
            return words.BEFORE, words.AFTER
        return numbers[self.held], numbers[self.looked]

    @property
    def names(self) -> frozenset[str]:
        """The names of all steps."""
        return frozenset(link.name for link in self.chain.links)

    def chosen(self) -> str:
        """Return the step that is looked at; raise `NotFound`."""
        if self.looked is None or not self.chain.has(self.looked):
            raise NotFound(words.BATCH_NO_STEP, words.BATCH_NO_STEP_ACTION)
        return self.looked


def chain_markup(view: View) -> Markup:
    """Return the steps and what can be done with the chosen one; nothing for fewer than two."""
    if len(view.chain.links) < 2:
        return Markup("")
    numbers = {link.name: number for number, link in enumerate(view.chain.links, 1)}
    rows = [_row(view, row, numbers) for row in _rows(view.chain)]
    head = tag("p", tag("span", words.STEPS), class_="line")
    parts = [head, tag("div", *rows, class_="rows"), *_chosen(view, numbers)]
    return tag("section", *parts, class_="chain", aria_label=words.STEPS)


def _rows(chain: Chain) -> Iterator[tuple[str, ...]]:
    """Yield the tree as rows of names: the first child goes on in its parent's row."""
    waiting = [link.name for link in reversed(chain.children(None))]
    while waiting:
        row, branches = [waiting.pop()], list[str]()
        while children := chain.children(row[-1]):
            row.append(children[0].name)
            branches.extend(child.name for child in children[1:])
        yield tuple(row)
        waiting.extend(reversed(branches))


def _row(view: View, row: tuple[str, ...], numbers: Mapping[str, int]) -> Markup:
    parent = view.chain.find(row[0]).parent
    source = numbers.get(parent or "")
    start = [tag("span", words.branch_from(source), class_="from")] if source else []
    steps = [_step(view, name, numbers[name]) for name in row]
    return tag("div", *start, *steps, class_="row")


def _step(view: View, name: str, number: int) -> Markup:
    picture, prompt = view.pictures.get(name), _prompt(view, name)
    image = tag("img", src=picture.url, alt="", loading="lazy") if picture else Markup("")
    return tag(
        "button",
        image,
        tag("span", str(number), class_="number", aria_hidden="true"),
        type="button",
        data_step=name,
        data_here=name == view.chain.at,
        data_held=name == view.held,
        aria_pressed="true" if name == view.looked else "false",
        aria_current="step" if name == view.chain.at else False,
        aria_label=words.step_name(number, prompt),
        title=f"“{prompt}”" if prompt else words.ORIGIN,
    )


def _chosen(view: View, numbers: Mapping[str, int]) -> list[Markup]:
    if view.looked is None or view.looked not in numbers:
        return [tag("p", words.STEPS_HINT, class_="hint")]
    prompt = _prompt(view, view.looked)
    shown = tag("span", prompt, translate="no") if prompt else tag("span", words.ORIGIN)
    here = [" · ", tag("span", words.HERE)] if view.looked == view.chain.at else []
    number = f"{numbers[view.looked]} · "
    said = tag("p", number, shown, *here, class_="facts", role="status")
    held = view.held == view.looked
    buttons = [
        tag("button", words.GO_ON, type="button", data_act="apply"),
        tag(
            "button",
            words.RELEASE if held else words.HOLD,
            type="button",
            data_act="like",
            aria_pressed="true" if held else "false",
        ),
    ]
    actions = tag("div", *buttons, *_own(view.pictures.get(view.looked)), class_="actions")
    at = numbers.get(view.chain.at or "")
    return [said, actions, *_elsewhere(at if view.looked != view.chain.at else None)]


def _elsewhere(number: int | None) -> list[Markup]:
    return [] if number is None else [tag("p", words.next_from(number), class_="hint")]


def _own(picture: Given | None) -> list[Markup]:
    """Return the buttons of a step that is none of the results, which have such themselves."""
    if picture is None:
        return []

    def button(act: str, text: str) -> Markup:
        return tag("button", text, type="button", data_act=act, data_own=True, hidden=True)

    name = picture.name.removeprefix(INPUT_PREFIX)
    return [
        button("submit", strings.INPAINT_THIS),
        tag("a", strings.DOWNLOAD, href=picture.url, download=name, data_own=True, hidden=True),
        button("enlarge", strings.ENLARGE),
    ]


def _prompt(view: View, name: str) -> str:
    request = view.chain.find(name).request
    prompt = request.prompt if request else ""
    return f"{prompt[:MAX_PROMPT]}…" if len(prompt) > MAX_PROMPT else prompt
