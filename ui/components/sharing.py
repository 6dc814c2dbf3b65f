"""What the owner sees of sharing: link, password, QR code, guests, and how long it goes on."""

from __future__ import annotations

from typing import Final

from ui import sharing_strings as strings
from ui.markup import Markup, join, tag
from ui.qr import qr_symbol
from ui.sharing import Phase, Share

MARGIN: Final = 4
"""Light modules around a QR code, as readers want them."""

SCRIPT: Final = """
element.addEventListener('click', async ({ target }) => {
  const button = target.closest('[data-copy]');
  if (!button) return;
  const text = button.dataset.copy, words = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const box = Object.assign(document.createElement('textarea'), { value: text });
    document.body.append(box);
    box.select();
    document.execCommand('copy');
    box.remove();
  }
  button.textContent = button.dataset.copied;
  setTimeout(() => { button.textContent = words; }, 1500);
});
setInterval(() => {
  if (!document.hidden && element.querySelector('[data-phase="on"], [data-phase="starting"]')) {
    trigger('tick');
  }
}, 2000);
"""
"""Copies what is asked for, and asks how sharing is every two seconds while it goes on."""


def share_markup(share: Share) -> Markup:
    """Return what there is to know about sharing now."""
    match share.phase:
        case Phase.STARTING:
            said = tag("p", strings.STARTING, class_="note", role="status")
        case Phase.ON:
            said = _open(share)
        case Phase.OFF:
            said = tag("p", share.note, class_="note warn", role="status", hidden=not share.note)
    return tag("div", said, data_phase=str(share.phase), class_="share")


def _open(share: Share) -> Markup:
    rows = [
        _row(strings.LINK, share.url),
        _row(strings.USER, share.user),
        _row(strings.KEY, share.password),
    ]
    left = f"{strings.guests(share.guests)} {strings.ends_in(share.seconds_left)}"
    facts = tag("div", tag("dl", *rows), tag("p", left, class_="note good", role="status"))
    return tag("div", facts, qr_markup(share.url), class_="shared-card")


def _row(name: str, text: str) -> Markup:
    copy = tag(
        "button",
        strings.COPY,
        type="button",
        data_copy=text,
        data_copied=strings.COPIED,
        aria_label=f"{strings.COPY}: {name}",
    )
    written = tag("code", text, translate="no")
    return join(tag("dt", name), tag("dd", written, tag("span", copy, class_="actions")))


def qr_markup(text: str) -> Markup:
    """Return the QR code of a text as a drawing, dark on light in every theme."""
    symbol = qr_symbol(text)
    dark = "".join(
        f"M{x + MARGIN} {y + MARGIN}h1v1h-1z"
        for y, row in enumerate(symbol)
        for x, module in enumerate(row)
        if module
    )
    side = len(symbol) + 2 * MARGIN
    return tag(
        "svg",
        tag("rect", width=side, height=side, fill="#fff"),
        tag("path", d=dark, fill="#000"),
        viewBox=f"0 0 {side} {side}",
        role="img",
        aria_label=strings.QR,
        class_="qr",
        shape_rendering="crispEdges",
    )
