"""Where a picture is dropped to take its settings, and what was taken from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine import Request
from ui import strings
from ui.components.pictures import TYPES
from ui.markup import Markup, tag

DROP_SCRIPT: Final = """
const zone = () => element.querySelector('.drop');
const take = async (file) => {
  if (!file) return;
  zone().classList.add('busy');
  try {
    trigger('upload', { path: (await upload(file)).path });
  } catch {
    trigger('upload', { path: '' });
  }
  zone().classList.remove('busy');
};
element.addEventListener('change', (event) => {
  take(event.target.files[0]);
  event.target.value = '';
});
for (const kind of ['dragover', 'dragleave', 'drop']) {
  element.addEventListener(kind, (event) => {
    event.preventDefault();
    zone().classList.toggle('over', kind === 'dragover');
    if (kind === 'drop') take(event.dataTransfer.files[0]);
  });
}
"""


def drop_template() -> Markup:
    """Return the place to drop a picture, with room below it for what was restored."""
    chooser = tag("input", type="file", accept=TYPES)
    place = tag("label", chooser, tag("span", strings.RESTORE_DROP), class_="drop")
    return tag("div", place, tag("div", Markup("${value}")))


def restored_markup(request: Request, title: str, notes: Sequence[str]) -> Markup:
    """Return what was restored, and what was not and why. title: of the model."""
    facts = [title]
    if request.seed is not None:
        facts.append(f"{strings.SEED} {request.seed}")
    if request.steps is not None:
        facts.append(strings.steps(request.steps))
    if request.width and request.height:
        facts.append(f"{request.width} × {request.height}")
    parts = [
        tag("p", tag("strong", strings.RESTORED), class_="line"),
        tag("p", request.prompt, class_="prompt", translate="no"),
        tag("p", " · ".join(facts), class_="facts"),
    ]
    if notes:
        parts.append(tag("p", tag("strong", strings.NOT_RESTORED), class_="line"))
        parts.append(tag("ul", *(tag("li", note) for note in notes)))
    return tag("div", *parts, class_="restored", role="status")
