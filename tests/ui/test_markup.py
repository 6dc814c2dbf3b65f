"""HTML is written in one place, and text stays text."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from engine import Failed, NumericalError, Request, Status, Warned
from engine.errors import report
from engine.variants import by_name
from tests.architecture.sources import modules
from ui.components import header, prompt, restore, results, stage
from ui.components.results import Shown
from ui.events import JobView, follow
from ui.markup import Markup, escape, file_url, join, tag

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</textarea><svg onload=alert(1)>",
    "javascript:alert(1)",
    "${alert(1)} {{constructor}} `x`",
    "&lt;b&gt; &amp;",
)


class Reader(HTMLParser):
    """Collects the elements, the attributes and the text of a piece of HTML."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def pieces(text: str) -> dict[str, Markup]:
    """Everything that the page makes of a text that someone else wrote."""
    recipe = {"request": {"prompt": text, "seed": text, "model": text, "steps": text}}
    shown = Shown(
        url=file_url(text),
        name=text,
        path=Path(text),
        model=text,
        width=1,
        height=1,
        seconds=1.0,
        recipe=recipe,
    )
    failed = Failed(job="a", error=report(NumericalError(text, text)))
    variant = replace(by_name("demo-base"), examples=(text,), summary=text)
    return {
        "results": results.results_markup((shown, shown)),
        "failure": stage.stage_markup(follow(JobView(), failed)),
        "warning": stage.stage_markup(follow(JobView(), Warned(job="a", message=text))),
        "chips": prompt.chips_markup(variant),
        "note": prompt.note_markup(variant, text),
        "status": header.status_markup(Status(state=text, device=text, memory=text, queue=0)),
        "restored": restore.restored_markup(Request(prompt=text), text, (text,)),
    }


@pytest.mark.parametrize("text", ATTACKS)
@pytest.mark.parametrize("name", list(pieces("")))
def test_what_someone_else_wrote_is_shown_and_not_obeyed(name, text):
    harmless, read = Reader(pieces("harmless")[name]), Reader(pieces(text)[name])
    assert read.names == harmless.names
    assert [key for key, _ in read.attributes] == [key for key, _ in harmless.attributes]
    addresses = [value for key, value in read.attributes if key in {"href", "src"}]
    assert not any(address.startswith("javascript:") for address in addresses)


@pytest.mark.parametrize("text", ATTACKS)
def test_text_comes_back_as_it_was(text):
    assert Reader(tag("p", text)).text == text
    assert Reader(tag("a", "x", title=text)).attributes == [("title", text)]


def test_markup_is_not_escaped_twice():
    assert tag("p", tag("b", "<")) == "<p><b>&lt;</b></p>"
    assert join("<", Markup("<br>")) == "&lt;<br>"


def test_a_bare_attribute_is_written_and_a_false_one_is_not():
    assert tag("img", hidden=True, alt="") == '<img hidden alt="">'
    assert tag("p", hidden=False, data_act=0) == '<p data-act="0"></p>'


def test_an_address_of_a_file_is_quoted():
    assert file_url('/a b/"ä".png') == "gradio_api/file=/a%20b/%22%C3%A4%22.png"
    assert escape("<'\">") == "&lt;&#x27;&quot;&gt;"


def test_a_huge_prompt_does_not_make_a_huge_page():
    shown = Shown(
        url="x",
        name="x",
        path=Path("x"),
        model="x",
        width=1,
        height=1,
        seconds=1.0,
        recipe={"request": {"prompt": "word " * 20_000}},
    )
    assert len(results.results_markup((shown,) * results.MAX_SHOWN)) < 100_000


def test_no_other_module_of_the_page_writes_html():
    pattern = re.compile(r"(?<!\?P)</?[a-z][a-z0-9]*[\s>/]")
    found = [
        f"{module.path}:{node.lineno}"
        for module in modules("ui")
        if module.name != "ui.markup"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if pattern.search(node.value)
    ]
    assert found == []


def test_every_kind_of_picture_that_holds_a_recipe_can_be_chosen():
    assert 'accept="image/png,image/jpeg,image/webp"' in restore.drop_template()
