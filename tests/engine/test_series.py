"""A series of requests: all are painted, faults stay with their items, and a sheet ends it."""

from __future__ import annotations

import threading
import time

import pytest
from PIL import Image

from engine import (
    BadRequest,
    FileRejected,
    Item,
    ItemState,
    NumericalError,
    Output,
    Picture,
    QueueFull,
    Request,
    Result,
    Series,
    SeriesPlan,
    SheetPlan,
    Stage,
    picture_size,
)
from engine.errors import report
from engine.events import Cancelled, Done, Failed, Progress, Queued, Started
from engine.images.open import open_picture

COLOURS = ("red", "lime", "blue")


class FakePainter:
    """Paints a picture of the colour that the prompt names; `fail`, `refuse` and `hold` do so."""

    def __init__(self, folder):
        self.folder = folder
        self.asked: list[tuple[Request, Output | None]] = []
        self.full = 0
        self.go_on = threading.Event()
        self.stopped = threading.Event()

    def submit(self, request, output=None):
        if self.full:
            self.full -= 1
            raise QueueFull("32 jobs wait already.")
        if request.prompt == "refuse":
            raise FileRejected("The file is no picture.")
        self.asked.append((request, output))
        return str(len(self.asked) - 1)

    def cancel(self, job):
        self.stopped.set()
        return True

    def events(self, job):
        request, output = self.asked[int(job)]
        yield Queued(job=job, position=0)
        yield Started(job=job)
        yield Progress(job=job, stage=Stage.DENOISING, step=1, total=2, preview=b"jpeg")
        if request.prompt == "fail":
            yield Failed(job=job, error=report(NumericalError("No picture.", "Try again.")))
            return
        while request.prompt == "hold" and not self.go_on.wait(0.002):
            if self.stopped.is_set():
                yield Cancelled(job=job)
                return
        if request.prompt == "bug":
            raise ZeroDivisionError("oops")
        yield Done(job=job, result=self._paint(request, output, job))

    def _paint(self, request, output, job):
        folder = output.folder if output else self.folder
        path = folder / (output.name if output and output.name else f"{job}.png")
        colour = request.prompt if request.prompt in COLOURS else "gray"
        Image.new("RGB", (32, 32), colour).save(path)
        recipe = {"request": request.to_json()}
        picture = Picture(path=path, recipe=recipe, width=32, height=32)
        return Result(
            pictures=(picture,), seconds={"total": 0.0}, nfe=1, precision="fp32", plan="",
            peak_memory=0.0,
        )  # fmt: skip


@pytest.fixture
def painter(tmp_path):
    return FakePainter(tmp_path)


def item(*prompts: str, output: Output | None = None, **values: object) -> Item:
    steps = tuple(Request(prompt=prompt, **values) for prompt in prompts)
    return Item(label=prompts[0], steps=steps, output=output)


def plan(*items: Item, sheet: SheetPlan | None = None) -> SeriesPlan:
    return SeriesPlan(items=items, sheet=sheet)


def wait_for(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


def states(told) -> list[str]:
    return [str(item.state) for item in told.items]


def test_all_items_are_painted_in_order(painter):
    told = Series(painter, plan(*(item(colour) for colour in COLOURS))).run()
    assert [request.prompt for request, _ in painter.asked] == list(COLOURS)
    assert states(told) == ["done"] * 3
    assert told.ended and not told.cancelled
    assert [one.picture.path.name for one in told.items] == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize("fault", ["fail", "refuse"])
def test_what_fails_does_not_stop_the_rest(painter, fault):
    told = Series(painter, plan(item("red"), item(fault), item("blue"))).run()
    assert states(told) == ["done", "failed", "done"]
    assert told.items[1].picture is None
    assert told.items[1].error.message in {"No picture.", "The file is no picture."}


def test_each_step_gets_the_picture_of_the_one_before(painter):
    own = item("red", "lime", "blue", images=("input.png", "reference.png"))
    told = Series(painter, plan(own)).run()
    pictures = [request.images for request, _ in painter.asked]
    folder = painter.folder
    assert pictures == [
        ("input.png", "reference.png"),
        (str(folder / "0.png"), "reference.png"),
        (str(folder / "1.png"), "reference.png"),
    ]
    assert told.items[0].picture.path == folder / "2.png"
    assert (told.items[0].step, told.items[0].steps) == (3, 3)


def test_a_step_that_fails_ends_its_item(painter):
    told = Series(painter, plan(item("red", "fail", "blue"), item("lime"))).run()
    assert [request.prompt for request, _ in painter.asked] == ["red", "fail", "lime"]
    assert states(told) == ["failed", "done"]
    assert told.items[0].step == 2


def test_only_the_last_step_takes_the_name_asked_for(painter, tmp_path):
    output = Output(folder=tmp_path, name="cat.png")
    Series(painter, plan(item("red", "lime", "blue", output=output))).run()
    places = [(out.folder.relative_to(tmp_path).as_posix(), out.name) for _, out in painter.asked]
    assert places == [("steps", "cat-1.png"), ("steps", "cat-2.png"), (".", "cat.png")]


def test_a_sheet_shows_what_was_painted(painter, tmp_path):
    sheet = SheetPlan(folder=tmp_path / "sheets", name="all.png", columns=3, side=32)
    series = Series(painter, plan(item("red"), item("fail"), item("blue"), sheet=sheet))
    told = series.run()
    assert told.sheet == tmp_path / "sheets" / "all.png"
    colours = {colour for _, colour in open_picture(told.sheet).getcolors(100_000)}
    assert {(255, 0, 0), (0, 0, 255)} <= colours
    assert (0, 255, 0) not in colours


def test_a_sheet_without_a_name_gets_one_by_its_date(painter, tmp_path):
    told = Series(painter, plan(item("red"), sheet=SheetPlan(folder=tmp_path))).run()
    assert told.sheet.name.endswith("-sheet.png")


def test_a_series_of_failures_makes_no_sheet(painter, tmp_path):
    told = Series(painter, plan(item("fail"), sheet=SheetPlan(folder=tmp_path / "sheets"))).run()
    assert told.sheet is None and told.sheet_error is None
    assert not (tmp_path / "sheets").exists()


def test_a_sheet_that_cannot_be_saved_is_told(painter, tmp_path):
    (tmp_path / "file").write_text("in the way")
    told = Series(painter, plan(item("red"), sheet=SheetPlan(folder=tmp_path / "file"))).run()
    assert states(told) == ["done"]
    assert told.sheet is None and told.sheet_error.code == "disk"


def test_every_report_is_told_with_progress_and_preview(painter):
    told = []
    Series(painter, plan(item("red"), item("blue"))).run(told.append)
    previews = [report.running.progress.preview for report in told
                if report.running and report.running.progress]  # fmt: skip
    assert b"jpeg" in previews
    assert [report.count(ItemState.DONE) for report in told if report.ended] == [2]
    assert not any(report.ended for report in told[:-1])


def test_cancelling_stops_the_running_item_and_all_that_wait(painter, tmp_path):
    sheet = SheetPlan(folder=tmp_path, name="sheet.png")
    series = Series(painter, plan(item("red"), item("hold"), item("blue"), sheet=sheet))
    series.start()
    wait_for(lambda: series.report.items[1].progress is not None)
    series.cancel()
    wait_for(lambda: series.report.ended)
    assert states(series.report) == ["done", "cancelled", "cancelled"]
    assert series.report.cancelled
    assert (tmp_path / "sheet.png").is_file()
    assert [request.prompt for request, _ in painter.asked] == ["red", "hold"]


def test_a_series_cancelled_before_it_begins_paints_nothing(painter):
    series = Series(painter, plan(item("red")))
    series.cancel()
    assert states(series.run()) == ["cancelled"]
    assert not painter.asked


def test_a_full_queue_is_waited_for(painter, monkeypatch):
    monkeypatch.setattr("engine.service.series._FULL_PAUSE", 0.001)
    painter.full = 3
    assert states(Series(painter, plan(item("red"))).run()) == ["done"]


def test_a_series_that_waits_for_a_full_queue_can_be_cancelled(painter):
    painter.full = 10**9
    series = Series(painter, plan(item("red"), item("blue")))
    series.start()
    wait_for(lambda: painter.full < 10**9)
    series.cancel()
    wait_for(lambda: series.report.ended)
    assert states(series.report) == ["cancelled", "cancelled"]


def test_requests_can_be_handed_in_another_way(painter):
    handed = []

    def submit(request, output):
        handed.append(request.prompt)
        return painter.submit(request.with_values(prompt="lime"), output)

    Series(painter, plan(item("red")), submit).run()
    assert handed == ["red"]
    assert painter.asked[0][0].prompt == "lime"


def test_what_nobody_foresaw_still_ends_the_series(painter):
    series = Series(painter, plan(item("bug"), item("blue")))
    with pytest.raises(ZeroDivisionError):
        series.run()
    assert series.report.ended
    assert states(series.report) == ["failed", "waiting"]
    assert series.report.items[0].error.code == "bug"


def test_an_error_on_the_way_keeps_ctrl_c_whole(painter):
    def submit(request, output):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Series(painter, plan(item("red")), submit).run()


@pytest.mark.parametrize("items", [(), (Item(label="x", steps=()),), (item("red"),) * 1001])
def test_a_plan_that_cannot_be_is_refused(items):
    with pytest.raises(BadRequest):
        SeriesPlan(items=items)


def test_a_sheet_that_cannot_be_is_refused_before_anything_is_painted(tmp_path):
    with pytest.raises(BadRequest, match="names"):
        plan(item("red"), sheet=SheetPlan(folder=tmp_path, column_names=("a", "b")))


def test_the_real_engine_is_such_a_painter(ask, engine):
    told = Series(engine, plan(Item(label="a", steps=(ask(),)))).run()
    assert told.items[0].picture.path.is_file()


def test_the_cells_of_a_sheet_are_no_larger_than_they_need(painter, tmp_path):
    told = Series(painter, plan(item("red"), sheet=SheetPlan(folder=tmp_path, side=512))).run()
    assert 160 <= picture_size(told.sheet)[0] < 200
