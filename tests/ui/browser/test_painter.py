"""The mask painter in a real browser: what the server gets is what was painted, to the pixel."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.ui.browser.conftest import Visit, reload
from tests.ui.browser.painting import Hand, box, picture, polygon, same, stroke
from tests.ui.conftest import free_port
from tests.ui.fake_engine import FakeEngine
from ui.components.ids import Ids
from ui.components.painter import SCRIPTS, build_painter
from ui.context import PageContext
from ui.launch import clear_environment
from ui.markup import tag
from ui.painter_doors import painter_doors
from ui.painter_strings import WORDS
from ui.shell import STATIC
from ui.theme import theme

pytestmark = pytest.mark.browser

CORNERS = ((0.4, 0.3), (0.6, 0.35), (0.5, 0.7))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("painter")


@pytest.fixture(scope="module")
def address(data: Path) -> Iterator[str]:
    """A page with a painter, a button, and what the server gets when it is pressed."""
    before = dict(os.environ)
    with FakeEngine(data) as engine:
        clear_environment(os.environ, engine.settings.data_dir)

        async def start() -> gr.Blocks:
            demo = _page(PageContext(engine=engine))
            demo.queue().launch(
                server_name="127.0.0.1",
                server_port=free_port(),
                prevent_thread_lock=True,
                quiet=True,
                theme=theme(),
                css_paths=[STATIC / "page.css", STATIC / "painter.css"],
                head_paths=[STATIC / "head.html"],
            )
            return demo

        with ThreadPoolExecutor(1) as pool:
            demo = pool.submit(asyncio.run, start()).result()
        yield str(demo.local_url)
        demo.close(verbose=False)
    os.environ.clear()
    os.environ.update(before)


def _page(page: PageContext) -> gr.Blocks:
    with gr.Blocks(analytics_enabled=False, fill_width=True) as demo:
        with gr.Column(elem_classes="z-tab"):
            painter = build_painter(Ids("inpaint"), painter_doors(page))
            button = gr.Button("Go", elem_classes="z-generate", elem_id="go")
            told, count = gr.Textbox(elem_id="told"), gr.State(0)
        ready = gr.HTML("")

        def tell(seen: int, *values: str) -> tuple[str, int]:
            return json.dumps([seen + 1, *values]), seen + 1

        fields = [painter.mask, painter.images, painter.regions, painter.extend]
        button.click(tell, [count, *fields], [told, count])
        demo.load(lambda: tag("i", data_ready=True), None, ready)
    return demo


@pytest.fixture
def hand(visit: Visit, address: str, data: Path) -> Hand:
    tab = visit(address)
    expect(tab.locator(".painter")).to_be_attached()
    return Hand(tab, data / "data" / "inputs")


@pytest.mark.parametrize("size", [(1024, 1024), (1536, 1024), (4000, 3000), (333, 517)])
def test_the_server_gets_the_stroke_that_was_drawn(hand: Hand, tmp_path, size):
    hand.open(picture(tmp_path / "a.png", size))
    hand.set_size(90)
    points = hand.drag(hand.inside(*CORNERS))
    same(hand.mask(), stroke(size, points, 90))


def test_on_a_turned_photograph_the_stroke_lies_as_it_is_seen(hand: Hand, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = picture(tmp_path / "a.jpg", (900, 600), exif=exif)
    hand.open(path, "600 × 900")
    points = hand.drag(hand.inside(*CORNERS))
    sent = hand.send()
    same(hand.read(sent["mask"]), stroke((600, 900), points, 64))
    (name,) = json.loads(sent["images"])
    assert hand.bytes_of(name) == path.read_bytes()


def test_a_stroke_after_zoom_and_pan_lies_where_it_is_seen(hand: Hand, tmp_path):
    hand.open(picture(tmp_path / "a.png", (1024, 1024)))
    (middle,) = hand.inside((0.5, 0.5))
    first = hand.drag(hand.inside((0.45, 0.5), (0.5, 0.55)))
    hand.tab.mouse.move(*middle)
    hand.tab.mouse.wheel(0, -900)
    before = hand.view()
    assert before[2] > 1
    hand.tab.mouse.down(button="middle")
    hand.tab.mouse.move(middle[0] - 70, middle[1] - 33)
    hand.tab.mouse.up(button="middle")
    after = hand.view()
    assert (after[0] - before[0], after[1] - before[1]) == pytest.approx((-70, -33), abs=0.01)
    second = hand.drag(hand.inside(*CORNERS))
    size = (1024, 1024)
    same(hand.mask(), stroke(size, first, 64) | stroke(size, second, 64))


def test_undo_and_redo_give_back_every_pixel(hand: Hand, tmp_path):
    size = (800, 600)
    hand.open(picture(tmp_path / "a.png", size))
    first = stroke(size, hand.drag(hand.inside((0.4, 0.4), (0.6, 0.4))), 64)
    second = stroke(size, hand.drag(hand.inside((0.5, 0.3), (0.5, 0.6))), 64)
    hand.act("erase")
    third = stroke(size, hand.drag(hand.inside((0.4, 0.4), (0.5, 0.5))), 64)
    same(hand.mask(), (first | second) & ~third)
    hand.act("undo")
    same(hand.mask(), first | second)
    hand.tab.keyboard.press("Shift+Tab")
    hand.area.focus()
    hand.tab.keyboard.press("Control+z")
    same(hand.mask(), first)
    hand.act("redo")
    hand.area.focus()
    hand.tab.keyboard.press("Control+Shift+z")
    same(hand.mask(), (first | second) & ~third)


def test_lasso_and_box_fill_what_they_enclose(hand: Hand, tmp_path):
    size = (1024, 768)
    hand.open(picture(tmp_path / "a.png", size))
    hand.act("lasso")
    ring = hand.drag(hand.inside((0.4, 0.2), (0.7, 0.4), (0.4, 0.5), (0.6, 0.2), (0.6, 0.6)))
    hand.act("box")
    corners = hand.drag(hand.inside((0.55, 0.8), (0.35, 0.35)))
    same(hand.mask(), polygon(size, ring) | box(size, *corners))
    hand.tab.keyboard.down("Alt")
    taken = hand.drag(hand.inside((0.4, 0.4), (0.5, 0.45)))
    hand.tab.keyboard.up("Alt")
    same(hand.mask(), (polygon(size, ring) | box(size, *corners)) & ~box(size, *taken))


def test_fingers_paint_and_two_of_them_zoom(hand: Hand, tmp_path):
    size = (1536, 1024)
    hand.tab.set_viewport_size({"width": 390, "height": 844})
    hand.open(picture(tmp_path / "a.png", size))
    hand.area.scroll_into_view_if_needed()
    touch = Touch(hand.tab)
    places = hand.inside((0.3, 0.4), (0.5, 0.5), (0.6, 0.4))
    touch.drag(places)
    first = stroke(size, [hand.place(*place) for place in places], 64)
    before = hand.view()
    (middle,) = hand.inside((0.5, 0.5))
    touch.pinch(middle, 30, 90)
    assert hand.view()[2] == pytest.approx(3 * before[2], rel=0.01)
    touch.drag(places)
    second = stroke(size, [hand.place(*place) for place in places], 64)
    same(hand.mask(), first | second)


class Touch:
    """Fingers on a tab."""

    def __init__(self, tab: Page) -> None:
        self._line = tab.context.new_cdp_session(tab)

    def send(self, kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        self._line.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def drag(self, places) -> None:
        self.send("touchStart", places[0])
        for place in places[1:]:
            self.send("touchMove", place)
        self.send("touchEnd")

    def pinch(self, at: tuple[float, float], near: int, far: int) -> None:
        x, y = at
        self.send("touchStart", (x - near, y))
        self.send("touchStart", (x - near, y), (x + near, y))
        for apart in range(near, far + 1, 10):
            self.send("touchMove", (x - apart, y), (x + apart, y))
        self.send("touchEnd")


def test_a_pen_that_is_pressed_lightly_draws_a_thin_line(hand: Hand, tmp_path):
    size = (800, 600)
    hand.open(picture(tmp_path / "a.png", size))
    line = hand.tab.context.new_cdp_session(hand.tab)
    expected = np.zeros((600, 800), bool)
    for place, force in zip(hand.inside((0.4, 0.5), (0.6, 0.5)), (0.5, 1.0), strict=True):
        common = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            pen = {"type": kind, "pointerType": "pen", "force": force, "buttons": 1}
            line.send("Input.dispatchMouseEvent", common | pen)
        expected |= stroke(size, [hand.place(*place)], 40 if force == 0.5 else 64)
    same(hand.mask(), expected)


def test_a_soft_brush_fades_outward_and_leaves_no_trace_of_its_path(hand: Hand, tmp_path):
    hand.open(picture(tmp_path / "a.png", (512, 512)))
    hand.set_size(100)
    hand.tab.locator("[data-field=soft]").fill("100")
    (place,) = hand.inside((0.5, 0.5))
    x, y = hand.drag([place, place])[0]
    found = hand.mask()
    across = np.hypot(np.arange(512) + 0.5 - x, np.floor(y) + 0.5 - y)
    expected = np.where(across <= 50, np.floor(255 * (50 - across) / 50 + 0.5), 0)
    assert np.abs(found[int(y)].astype(float) - expected).max() <= 1
    assert len(np.unique(found)) > 20


def test_growing_shrinking_inverting_and_clearing(hand: Hand, tmp_path):
    size = (640, 480)
    hand.open(picture(tmp_path / "a.png", size))
    shape = stroke(size, hand.drag(hand.inside((0.05, 0.4), (0.5, 0.5))), 64)
    hand.tab.locator("[data-field=amount]").fill("5")
    hand.act("grow")
    same(hand.mask(), spread(shape, 5))
    hand.act("shrink")
    same(hand.mask(), ~spread(~spread(shape, 5), 5))
    hand.act("invert")
    same(hand.mask(), spread(~spread(shape, 5), 5))
    hand.act("all")
    assert hand.mask().min() == 255
    hand.act("clear")
    hand.tab.locator("#go").click()
    expect(hand.tab.locator("[data-note]")).to_contain_text("Nothing is painted")


def spread(shape: np.ndarray, pixels: int) -> np.ndarray:
    """Widen a shape by turns by a diamond and a square of one pixel."""
    for step in range(pixels):
        framed = np.pad(shape, 1, mode="edge")
        height, width = shape.shape
        moved = {
            (dy, dx): framed[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        }
        corners = step % 2 == 1
        used = [part for at, part in moved.items() if corners or 0 in at]
        shape = np.logical_or.reduce(used)
    return shape


def test_keys_alone_paint(hand: Hand, tmp_path):
    size = (512, 512)
    hand.open(picture(tmp_path / "a.png", size))
    keys = hand.tab.keyboard
    hand.area.focus()
    keys.press("0")
    keys.press("9")
    hand.settle()
    for key in ("Enter", "ArrowRight", "Shift+ArrowRight", "ArrowDown", "Enter"):
        keys.press(key)
    drawn = stroke(size, [(256, 256), (266, 256), (316, 256), (316, 266)], 64)
    for key in ("r", "x", "Enter", "ArrowLeft", "ArrowUp", "ArrowUp", "Enter", "x"):
        keys.press(key)
    same(hand.mask(), drawn & ~box(size, (316, 266), (306, 246)))
    hand.area.focus()
    for key in ("Control+a", "2", "l", "Enter", "ArrowRight", "ArrowUp", "Escape"):
        keys.press(key)
    assert hand.mask().min() == 255


def test_each_colour_may_have_a_prompt_of_its_own(hand: Hand, tmp_path):
    size = (512, 512)
    hand.open(picture(tmp_path / "a.png", size))
    first = stroke(size, hand.drag(hand.inside((0.45, 0.3), (0.55, 0.3))), 64)
    hand.tab.locator("[data-layer='2']").click()
    hand.tab.locator("[data-field=prompt]").fill("a <b>cat</b> {x} `${1}`")
    second = stroke(size, hand.drag(hand.inside((0.45, 0.35), (0.55, 0.6))), 64)
    sent = hand.send()
    (region,) = json.loads(sent["regions"])
    assert region["prompt"] == "a <b>cat</b> {x} `${1}`"
    same(hand.read(region["mask"]), second)
    same(hand.read(sent["mask"]), first | second)


def test_a_picture_is_extended_by_pixels_and_to_a_shape(hand: Hand, tmp_path):
    hand.open(picture(tmp_path / "a.png", (600, 400)))
    hand.tab.get_by_text("Extend the picture").click()
    hand.tab.locator("[data-field=left]").fill("64")
    hand.tab.locator("[data-field=bottom]").fill("32")
    assert json.loads(hand.send()["extend"]) == [64, 0, 0, 32]
    expect(hand.tab.locator("[data-share]")).to_contain_text("664 × 432")
    hand.tab.locator("[data-field=ratio]").select_option("1:1")
    sent = hand.send()
    assert (json.loads(sent["extend"]), sent["mask"]) == ([0, 100, 0, 100], "")


def test_a_mask_is_loaded_and_saved(hand: Hand, tmp_path):
    size = (640, 480)
    hand.open(picture(tmp_path / "a.png", size))
    shape = np.zeros((480, 640), np.uint8)
    shape[100:200, 50:300] = 255
    mask, chooser = tmp_path / "mask.png", hand.tab.locator("[data-field=mask]")
    Image.fromarray(shape).save(mask)
    chooser.set_input_files(mask)
    same(hand.mask(), shape > 0)
    with hand.tab.expect_download() as download:
        hand.act("save")
    assert np.array_equal(np.asarray(Image.open(download.value.path()).convert("L")), shape)
    Image.fromarray(shape).resize((320, 240), Image.Resampling.NEAREST).save(mask)
    chooser.set_input_files(mask)
    expect(hand.tab.locator("[data-note]")).to_contain_text("was 320 × 240 and has been resized")
    Image.new("L", (100, 100), 255).save(mask)
    chooser.set_input_files(mask)
    expect(hand.tab.locator("[data-note]")).to_contain_text("100 × 100")
    assert 0 < hand.mask().mean() < 255


def test_a_reload_brings_back_the_picture_and_what_was_painted(hand: Hand, tmp_path, complaints):
    size = (1024, 1024)
    hand.open(picture(tmp_path / "a.png", size))
    shape = stroke(size, hand.drag(hand.inside(*CORNERS)), 64)
    hand.tab.locator("[data-field=prompt]").fill("a hat")
    hand.tab.wait_for_timeout(600)
    reload(hand.tab, complaints)
    expect(hand.tab.locator("[data-share]")).to_contain_text("% painted")
    expect(hand.tab.locator("[data-field=prompt]")).to_have_value("a hat")
    sent = hand.send()
    same(hand.read(sent["mask"]), shape)
    assert len(json.loads(sent["images"])) == len(json.loads(sent["regions"])) == 1


def test_what_a_new_tab_took_over_is_there_after_every_reload(
    hand: Hand, visit: Visit, address: str, tmp_path, complaints
):
    hand.open(picture(tmp_path / "a.png", (640, 480)))
    shape = stroke((640, 480), hand.drag(hand.inside(*CORNERS)), 64)
    hand.tab.wait_for_timeout(600)
    other = visit(address)
    for _ in range(3):
        expect(other.locator("[data-share]")).to_contain_text("% painted")
        # A change of one tab is no change of the other.
        hand.drag(hand.inside((0.2, 0.8), (0.3, 0.8)))
        other.wait_for_timeout(600)
        reload(other, complaints)
    same(Hand(other, hand.inputs).mask(), shape)


def test_sending_is_said_and_tried_once_more_and_no_more(hand: Hand, tmp_path):
    hand.open(picture(tmp_path / "a.png", (640, 480)))
    hand.drag(hand.inside(*CORNERS))
    asked = list[str]()

    def forget(route: Route) -> None:
        door = route.request.post_data_json["fn_name"]
        asked.append(door)
        if door == "keep_masks":
            route.fulfill(json={"missing": True})
        else:
            route.fallback()

    hand.tab.route(re.compile("component_server"), forget)
    note = hand.tab.locator(".painter [data-note]")
    note.evaluate(
        "(e) => { window.said = []; new MutationObserver(() => window.said.push(e.textContent))"
        ".observe(e, { childList: true }); }"
    )
    hand.tab.locator("#go").click()
    expect(note).to_have_text(WORDS["unsent"])
    assert hand.tab.evaluate("window.said")[0] == WORDS["sending"]
    assert asked == ["keep_masks", "keep_picture", "keep_masks"]


def test_a_mask_at_2048_is_small_and_soon_sent(hand: Hand, tmp_path):
    hand.open(picture(tmp_path / "a.png", (2048, 2048)))
    hand.set_size(200)
    shares = np.random.default_rng(5).uniform(0.3, 0.7, (40, 2))
    hand.drag(hand.inside(*map(tuple, shares)))
    bodies = list[int]()
    hand.tab.on("request", lambda r: bodies.append(len(r.post_data_buffer or b"")))
    begun = time.monotonic()
    with hand.tab.expect_response(lambda answer: "component_server" in answer.url):
        hand.tab.locator("#go").click()
    taken = time.monotonic() - begun
    assert 1000 < max(bodies) <= 400_000
    assert taken <= 5


def test_a_picture_that_the_server_lost_is_sent_again(hand: Hand, tmp_path):
    hand.open(picture(tmp_path / "a.png", (512, 512)))
    hand.drag(hand.inside(*CORNERS))
    (name,) = json.loads(hand.send()["images"])
    (hand.inputs / name.removeprefix("input:")).unlink()
    assert json.loads(hand.send()["images"]) == [name]
    assert hand.bytes_of(name)


def test_what_is_no_picture_is_refused_with_a_sentence(hand: Hand, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"junk" * 50)
    hand.tab.locator("[data-field=picture]").set_input_files(path)
    expect(hand.tab.locator("[data-note]")).to_contain_text("cannot be read")


def test_another_picture_clears_the_mask_and_the_history(hand: Hand, tmp_path):
    hand.open(picture(tmp_path / "a.png", (512, 512)))
    hand.drag(hand.inside(*CORNERS))
    hand.act("remove")
    expect(hand.tab.locator(".drop")).to_be_visible()
    hand.open(picture(tmp_path / "b.png", (256, 512)), "256 × 512")
    expect(hand.tab.locator("[data-act=undo]")).to_be_disabled()
    expect(hand.tab.locator("[data-share]")).to_contain_text("nothing is painted")


def test_without_a_picture_nothing_is_sent_and_the_canvas_says_so(hand: Hand):
    hand.tab.locator("#go").click()
    expect(hand.tab.locator("[data-note]")).to_contain_text("There is no picture yet")
    assert hand.tab.locator("#told textarea").input_value() == ""


def test_undo_forgets_the_oldest_beyond_its_bytes(hand: Hand):
    code = "".join((SCRIPTS / f"{name}.js").read_text("utf-8") for name in ("raster", "pack"))
    checks = """
      const history = newHistory(4000), mask = newMask(64, 64);
      for (let i = 0; i < 40; i++) {
        const old = mask.data.slice();
        crypto.getRandomValues(mask.data.subarray(0, 200));
        history.note(0, whole(mask), old);
      }
      const counts = history.counts, bytes = history.bytes;
      while (history.undo([mask]));
      return [counts[0], bytes, history.counts[0]];
    """
    kept, size, left = hand.tab.evaluate(f"() => {{ {code} {checks} }}")
    assert 1 <= kept < 40
    assert size <= 4000
    assert left == 0


def test_runs_and_png_hold_every_byte(hand: Hand):
    code = "".join((SCRIPTS / f"{name}.js").read_text("utf-8") for name in ("raster", "pack"))
    checks = """
      const mask = newMask(37, 53);
      crypto.getRandomValues(mask.data);
      const back = unpackRuns(packRuns(mask.data), mask.data.length);
      const png = new Uint8Array(await (await encodePng(mask)).arrayBuffer());
      return [[...mask.data], [...back], [...png]];
    """
    data, back, png = hand.tab.evaluate(f"async () => {{ {code} {checks} }}")
    assert data == back
    assert list(Image.open(io.BytesIO(bytes(png))).tobytes()) == data


def test_every_control_has_a_name_and_a_phone_needs_no_sideways_scrolling(hand: Hand, tmp_path):
    hand.tab.set_viewport_size({"width": 390, "height": 844})
    hand.open(picture(tmp_path / "a.png", (512, 512)))
    assert hand.tab.evaluate("document.documentElement.scrollWidth") <= 390
    unnamed = """
      [...document.querySelectorAll('.painter :is(input, button, select, [tabindex])')]
        .filter((e) => !e.labels?.length && !e.getAttribute('aria-label') && !e.textContent.trim())
        .map((e) => e.outerHTML)
    """
    assert hand.tab.evaluate(unnamed) == []
    for button in hand.tab.locator(".painter button:visible").all():
        assert button.bounding_box()["height"] >= 32
