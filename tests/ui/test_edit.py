"""The Edit tab's handlers, called as Gradio calls them."""

from __future__ import annotations

import asyncio
import html
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.utils import get_upload_folder
from PIL import Image

from engine import Chain, Request
from engine.chains import Link
from tests.ui.building import built, handlers_of
from tests.ui.fake_engine import draw
from tests.ui.test_handlers import fields, told_by
from ui import edit_strings as words
from ui.components.chain import View, chain_markup
from ui.components.compare import compare_markup
from ui.components.pictures import Given, pictures_markup
from ui.components.results import Shown
from ui.context import PageContext
from ui.tabs.batch import Batch
from ui.tabs.edit_handlers import EditHandlers

TURBO, OMNI = "demo-turbo", "omni-base"


@pytest.fixture
def edit(demo) -> EditHandlers:
    return handlers_of(demo, EditHandlers)


@pytest.fixture
def batch(demo) -> Batch:
    return handlers_of(demo, Batch)


@pytest.fixture
def upload(tmp_path, monkeypatch):
    """Put a picture where the browser's uploads come to lie."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))

    def put(name: str = "photo.png", seed: int = 1) -> str:
        path = Path(get_upload_folder()) / "some" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(96, 64, seed).save(path)
        return str(path)

    return put


class Tab:
    """What one browser tab holds, as Gradio keeps it between two calls."""

    def __init__(self, edit: EditHandlers, model: str = TURBO) -> None:
        self.parts = edit._parts
        self.model = model
        self.given, self.view, self.images = (), View(), ()
        self.shown: tuple[Shown, ...] = ()
        self.markup = self.tree = self.slider = ""

    @property
    def state(self):
        return self.given, self.view, self.model

    def heed(self, updates) -> None:
        """Take over what a handler returns."""
        self.given = updates.get(self.parts.given, self.given)
        self.images = updates.get(self.parts.images, self.images)
        view = updates.get(self.parts.view, self.view)
        self.view = view if isinstance(view, View) else self.view
        self.markup = updates.get(self.parts.pictures, self.markup)
        self.tree = updates.get(self.parts.chain, self.tree)
        self.slider = updates.get(self.parts.compare, self.slider)


@pytest.fixture
def tab(edit) -> Tab:
    return Tab(edit)


def event(**data):
    return SimpleNamespace(**data)


def painted(engine, tab: Tab, prompt: str, **values) -> Shown:
    """Have the pictures of a tab edited, and show the result as the page does."""
    request = Request(prompt=prompt, model=TURBO, images=tab.images, **values)
    picture = engine.generate(request).pictures[0]
    shown = Shown(
        url=f"url/{picture.path.name}", name=picture.path.name, path=picture.path, model="Demo",
        width=picture.width, height=picture.height, seconds=0.1, recipe=picture.recipe,
    )  # fmt: skip
    tab.shown = (shown, *tab.shown)
    return shown


def arrive(edit: EditHandlers, tab: Tab) -> None:
    tab.heed(edit.arrive(tab.shown, *tab.state))


def test_an_uploaded_picture_is_kept_and_becomes_the_one_to_edit(edit, tab, upload, engine):
    path = upload()
    tab.heed(edit.add(event(paths=[path]), *tab.state))
    assert tab.images == (engine.keep_input(Path(path)),)
    assert (tab.given[0].width, tab.given[0].height) == (96, 64)
    assert "96 × 64" in tab.markup and "gradio_api/file=" in tab.markup
    assert tab.view.chain.at == tab.images[0]


@pytest.mark.parametrize("wrong", ["/etc/passwd", "", 7, None, "a\0b", "../x.png"])
def test_what_was_not_uploaded_is_not_looked_at(edit, tab, upload, wrong):
    with pytest.raises(gr.Error, match="did not arrive"):
        edit.add(event(paths=[wrong]), *tab.state)


@pytest.mark.parametrize("wrong", ["x", None, [], 7])
def test_an_upload_that_did_not_arrive_is_told(edit, tab, wrong):
    with pytest.raises(gr.Error, match="did not arrive"):
        edit.add(event(paths=wrong), *tab.state)


def test_a_file_that_is_no_picture_is_refused(edit, tab, upload):
    path = Path(upload("bad.png"))
    path.write_bytes(b"no picture")
    with pytest.raises(gr.Error, match="no picture"):
        edit.add(event(paths=[str(path)]), *tab.state)


def test_pictures_are_added_put_first_and_taken_away(edit, tab, upload):
    paths = [upload(f"{seed}.png", seed) for seed in range(3)]
    tab.heed(edit.add(event(paths=paths), *tab.state))
    names = tab.images
    assert len(set(names)) == 3
    with pytest.raises(gr.Error, match="three"):
        edit.add(event(paths=[paths[0]]), *tab.state)
    tab.heed(edit.put_first(event(index=2), *tab.state))
    assert tab.images == (names[2], names[0], names[1])
    assert tab.view.chain.at == names[2]
    tab.heed(edit.remove(event(index=0), *tab.state))
    assert tab.images == names[:2]
    for wrong in (2, -1, "0", None):
        with pytest.raises(gr.Error, match="not on the page"):
            edit.remove(event(index=wrong), *tab.state)


def test_only_a_model_that_reads_several_has_room_for_more(edit, tab, upload):
    tab.heed(edit.add(event(paths=[upload()]), *tab.state))
    assert words.DROP_MORE not in tab.markup
    assert words.DROP_MORE in edit.heed_model(tab.given, OMNI)
    assert words.DROP_FIRST in edit.heed_model((), TURBO)
    assert words.DROP_MORE not in edit.heed_model(tab.given, "nothing/here")


def intended(edit, model, images=("input:" + "0" * 64,), task="auto", strength=0.6):
    return edit.intend(model, images, task, strength)


def test_the_page_says_what_it_will_do_and_whether_strength_matters(edit):
    said, strength = intended(edit, TURBO)
    assert "Guided redraw" in said and words.NO_EDITORS in said
    assert (strength["interactive"], strength["info"]) == (True, words.STRENGTH_INFO)
    said, strength = intended(edit, OMNI)
    assert "by instruction" in said and words.NO_EDITORS not in said
    assert (strength["interactive"], strength["info"]) == (False, words.STRENGTH_IGNORED)
    assert intended(edit, OMNI, task="redraw")[1]["interactive"] is True
    assert "no picture" in intended(edit, TURBO, images=())[0]


def test_what_cannot_be_is_said_with_its_reason(edit):
    said, _ = intended(edit, TURBO, task="edit")
    assert "note warn" in said and "cannot edit by instruction" in said
    two = ("input:" + "0" * 64, "input:" + "1" * 64)
    assert "one picture" in intended(edit, TURBO, images=two)[0]
    assert "nothing/here" in intended(edit, "nothing/here")[0]


def test_results_hang_from_the_picture_they_were_made_of(edit, tab, upload, engine):
    tab.heed(edit.add(event(paths=[upload()]), *tab.state))
    photo = tab.images[0]
    painted(engine, tab, "make it red")
    arrive(edit, tab)
    (red,) = tab.view.chain.children(photo)
    assert red.request.prompt == "make it red"
    assert tab.view.looked == red.name and tab.view.chain.at == photo
    assert tab.images == (photo,)
    before, after = tab.view.sides
    assert before.name == photo and after.url.startswith("url/")
    assert words.SLIDER in tab.slider and "make it red" in tab.tree


def test_a_result_that_is_known_is_not_added_again(edit, tab, upload, engine):
    tab.heed(edit.add(event(paths=[upload()]), *tab.state))
    painted(engine, tab, "make it red")
    arrive(edit, tab)
    before = tab.view
    arrive(edit, tab)
    assert tab.view == before


def test_a_new_picture_has_a_chain_without_the_results_of_another(edit, tab, upload, engine):
    for name in ("first.png", "second.png"):
        tab.given = ()
        tab.heed(edit.add(event(paths=[upload(name, len(name))]), *tab.state))
        painted(engine, tab, "one")
        shown = painted(engine, tab, "two")
        arrive(edit, tab)
    assert len(tab.view.chain.links) == 3
    assert tab.view.pictures[tab.view.looked].url == shown.url
    assert all(link.parent in {None, tab.images[0]} for link in tab.view.chain.links)


def test_a_result_that_is_made_of_nothing_here_changes_no_picture(edit, tab, engine):
    painted(engine, tab, "one")
    updates = edit.recall(event(index=0), tab.shown, tab.view, tab.model)
    assert updates and edit._parts.images not in updates


def test_going_on_from_a_step_and_walking_back_make_branches(edit, tab, upload, engine):
    tab.heed(edit.add(event(paths=[upload(), upload("b.png", 2)]), *tab.state))
    photo, reference = tab.images
    painted(engine, tab, "make it red")
    arrive(edit, tab)
    red = tab.view.looked
    tab.heed(edit.go_on(*tab.state))
    assert tab.images == (red, reference)
    painted(engine, tab, "add a hat")
    arrive(edit, tab)
    assert [link.name for link in tab.view.chain.way(tab.view.looked)][:2] == [photo, red]
    tab.heed(edit.look(event(step=photo), tab.view))
    tab.heed(edit.go_on(*tab.state))
    painted(engine, tab, "make it blue")
    arrive(edit, tab)
    assert len(tab.view.chain.children(photo)) == 2
    assert "from 1" in tab.tree


def test_any_two_steps_are_compared(edit, tab, upload, engine):
    tab.heed(edit.add(event(paths=[upload()]), *tab.state))
    for prompt in ("red", "blue"):
        painted(engine, tab, prompt)
        arrive(edit, tab)
    red, blue = (link.name for link in tab.view.chain.children(tab.images[0]))
    tab.heed(edit.look(event(step=red), tab.view))
    tab.heed(edit.hold(tab.view))
    tab.heed(edit.look(event(step=blue), tab.view))
    assert [side.name for side in tab.view.sides] == [red, blue]
    assert tab.view.titles == ("Step 2", "Step 3")
    assert ">Step 2<" in tab.slider and ">Step 3<" in tab.slider
    tab.heed(edit.look(event(step=red), tab.view))
    tab.heed(edit.hold(tab.view))
    assert [side.name for side in tab.view.sides] == [tab.images[0], red]


def test_a_step_that_is_no_result_has_buttons_of_its_own(edit, tab, upload, engine, demo):
    tab.heed(edit.add(event(paths=[upload()]), *tab.state))
    painted(engine, tab, "red")
    arrive(edit, tab)
    assert tab.view.titles == (words.BEFORE, words.AFTER)
    assert words.next_from(1) in html.unescape(tab.tree)
    tab.heed(edit.look(event(step=tab.images[0]), tab.view))
    assert tab.tree.count("data-own") == 3 and "download=" in tab.tree
    assert edit.path(tab.view).is_file()
    assert words.next_from(1) not in html.unescape(tab.tree)
    chain = (edit._parts.chain._id, "submit")
    (send,) = (fn.fn for fn in demo.fns.values() if chain in fn.targets)
    assert tab.images[0] in str(send(tab.view))


@pytest.mark.parametrize("wrong", ["input:x", "", None, 7])
def test_a_step_that_is_not_there_is_told(edit, tab, wrong):
    with pytest.raises(gr.Error, match="no step of this chain"):
        edit.look(event(step=wrong), tab.view)
    with pytest.raises(gr.Error, match="No step"):
        edit.hold(tab.view)


def test_a_picture_that_is_sent_here_brings_its_chain(edit, tab, upload, engine):
    tab.heed(edit.add(event(paths=[upload()]), *tab.state))
    photo = tab.images[0]
    red = painted(engine, tab, "make it red")
    other = Tab(edit)
    other.heed(edit.take(red.path, *other.state))
    assert [link.name for link in other.view.chain.links] == [photo, other.images[0]]
    assert other.view.sides[0].name == photo
    assert other.view.chain.replay(other.images[0])[0].prompt == "make it red"


def test_a_page_that_was_loaded_again_finds_the_chain_of_its_job(edit, tab, upload, engine):
    tab.heed(edit.add(event(paths=[upload()]), *tab.state))
    painted(engine, tab, "make it red")
    again = Tab(edit)
    again.shown = tab.shown
    arrive(edit, again)
    assert again.images == tab.images
    assert len(again.view.chain.links) == 2


def test_a_picture_made_of_words_alone_is_an_origin(edit, tab, engine):
    painted(engine, tab, "a red heart")
    arrive(edit, tab)
    assert tab.images == () and len(tab.view.chain.links) == 1
    assert words.SLIDER not in tab.slider and "url/" in tab.slider


def test_settings_of_a_result_bring_its_pictures_and_strength(edit, tab, upload, engine):
    tab.heed(edit.add(event(paths=[upload()]), *tab.state))
    photo = tab.images
    painted(engine, tab, "make it red", strength=0.3)
    tab.heed(edit.remove(event(index=0), *tab.state))
    updates = edit.recall(event(index=0), tab.shown, tab.view, TURBO)
    tab.heed(updates)
    assert tab.images == photo
    assert updates[tab.parts.strength] == 0.3


def test_a_photo_begins_a_chain_of_its_own(edit, tab, upload, engine):
    tab.heed(edit.add(event(paths=[upload()]), *tab.state))
    painted(engine, tab, "make it red")
    arrive(edit, tab)
    tab.heed(edit.remove(event(index=0), *tab.state))
    tab.heed(edit.add(event(paths=[upload("other.png", 9)]), *tab.state))
    assert len(tab.view.chain.links) == 1
    assert tab.tree == ""


def given(name: str) -> Given:
    return Given(name=name, url=f"u/{name}", width=16, height=16)


def test_names_and_prompts_are_text_and_not_markup():
    chain = Chain(links=(Link(name="a"),), at="a")
    chain = chain.grown("b", Request(prompt="<script>x</script>" * 40, images=("a",)))
    view = View(chain=chain, pictures={"a": given("a"), "b": given("b")}, looked="b")
    told = chain_markup(view)
    assert "<script>" not in told and "…" in told
    assert '"><b>' not in pictures_markup((replace(given("a"), url='"><b>'),), several=True)
    assert compare_markup(None, None) == ""


def test_rows_of_a_tree_go_on_with_the_first_child():
    chain = Chain(links=(Link(name="a"),), at="a")
    for name, parent in (("b", "a"), ("c", "a"), ("d", "b"), ("e", "c")):
        chain = chain.grown(name, Request(prompt=name, images=(parent,)))
    told = chain_markup(View(chain=chain))
    order = [part.split('"')[0] for part in told.split('data-step="')[1:]]
    assert order == ["a", "b", "d", "c", "e"]
    assert told.count('class="row"') == 2 and "from 1" in told


def started(batch, engine, files=None, folder="", way="words", view=None, **values):
    everything = {**fields(engine, TURBO), "strength": 0.6, "task": "auto", "images": (), **values}
    handler = batch.start(files, folder, way, view or View(), **everything)
    return asyncio.run(told_by(handler))


def test_a_batch_edits_every_picture_and_shows_its_sheet(batch, engine, upload):
    files = [upload("a.png", 1), upload("b.png", 2)]
    told = started(batch, engine, files, match=True, style="")
    last = told[-1][batch.panel.told]
    assert words.batch_line(2, 2, 0) in last and words.SHEET_OPEN in last
    (folder,) = (path for path in engine.settings.output_folder.iterdir() if path.is_dir())
    assert "contact-sheet.jpg" in [path.name for path in folder.iterdir()]
    assert told[0][batch.panel.stop_button]["visible"] is True
    assert told[-1][batch.panel.start_button]["visible"] is True


def test_a_batch_takes_a_folder_and_notes_what_fails(batch, engine, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    (folder / "b.png").symlink_to(folder / "a.png")
    with (folder / "huge.png").open("wb") as hole:
        hole.truncate((64 << 20) + 1)
    told = started(batch, engine, folder=str(folder))[-1][batch.panel.told]
    assert words.batch_line(2, 3, 1) in told and "huge.png" in told


def test_a_batch_replays_the_steps_of_a_chain(batch, edit, tab, engine, upload):
    tab.heed(edit.add(event(paths=[upload()]), *tab.state))
    for prompt in ("make it red", "add a hat"):
        painted(engine, tab, prompt)
        arrive(edit, tab)
        tab.heed(edit.go_on(*tab.state))
    told = started(batch, engine, [upload("b.png", 5)], way="steps", view=tab.view)
    assert words.batch_line(1, 1, 0) in told[-1][batch.panel.told]
    steps = batch.panel.series._plan.items[0].steps
    assert [step.prompt for step in steps] == ["make it red", "add a hat"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "no pictures"),
        ({"folder": "/no/such/folder"}, "no folder"),
        ({"files": ["/etc/passwd"]}, "did not arrive"),
        ({"files": "photo", "prompt": " "}, "prompt"),
        ({"files": "photo", "way": "steps"}, "No step"),
        ({"files": "photo", "strength": 7.0}, "strength"),
    ],
)
def test_a_batch_that_cannot_be_is_refused_at_once(batch, engine, upload, wrong, said):
    if wrong.get("files") == "photo":
        wrong = {**wrong, "files": [upload()]}
    with pytest.raises(gr.Error, match=said):
        started(batch, engine, **wrong)
    assert batch.panel.series is None


def test_one_batch_at_a_time_stopped_and_found_again(batch, engine, upload):
    engine.go_on.clear()
    files = [upload("a.png", 1), upload("b.png", 2)]

    async def begin() -> None:
        handler = batch.start(files, "", "words", View(), **{**fields(engine, TURBO), "images": ()})
        await anext(handler)
        await handler.aclose()

    asyncio.run(begin())
    with pytest.raises(gr.Error, match="running already"):
        started(batch, engine, files)
    assert batch.panel.stop()["interactive"] is False
    engine.go_on.set()
    told = asyncio.run(told_by(batch.panel.attach()))
    assert words.BATCH_CANCELLED in told[-1][batch.panel.told]


def test_visitors_get_no_batch(engine):
    guest = built(PageContext(engine=engine, owner=False))
    with pytest.raises(StopIteration):
        handlers_of(guest, Batch)
    assert handlers_of(guest, EditHandlers)
