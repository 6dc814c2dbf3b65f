"""Who watches which job."""

from __future__ import annotations

from ui.visitors import MAX_JOBS, MAX_VISITORS, Visitors, new_secret


def test_a_reloaded_tab_finds_its_own_latest_job():
    visitors = Visitors()
    visitors.remember("browser", "one", "a")
    visitors.remember("browser", "two", "b")
    visitors.remember("browser", "one", "c")
    assert visitors.latest("browser", "one") == "c"
    assert visitors.latest("browser", "two") == "b"


def test_a_fresh_tab_has_no_job_of_its_own():
    visitors = Visitors()
    visitors.remember("browser", "one", "a")
    assert visitors.latest("browser", "new") is None


def test_another_browser_finds_nothing():
    visitors = Visitors()
    visitors.remember("mine", "one", "a")
    assert visitors.latest("theirs", "one") is None
    assert visitors.unwatched("theirs") == ()


def test_a_job_is_unwatched_once_its_last_watcher_left():
    visitors = Visitors()
    visitors.remember("browser", "one", "a")
    visitors.look_at("visit", "a")
    assert visitors.unwatched("browser") == ()
    visitors.leave("visit")
    visitors.leave("visit")
    assert visitors.unwatched("browser") == ("a",)


def test_memory_is_bounded():
    visitors = Visitors()
    for number in range(MAX_JOBS + 5):
        visitors.remember("browser", "tab", str(number))
    assert len(visitors.unwatched("browser")) == MAX_JOBS
    for number in range(MAX_VISITORS):
        visitors.remember(f"other {number}", "tab", "x")
    assert visitors.unwatched("browser") == ()


def test_secrets_differ_and_are_long():
    assert len({new_secret() for _ in range(100)}) == 100
    assert len(new_secret()) >= 20


def test_each_place_of_the_page_has_jobs_of_its_own():
    visitors = Visitors()
    visitors.remember("browser", "one", "a")
    visitors.remember("browser", "one", "b", "edit")
    assert visitors.latest("browser", "one") == "a"
    assert visitors.latest("browser", "one", "edit") == "b"
    assert visitors.unwatched("browser", "edit") == ("b",)


def test_a_visit_may_watch_several_jobs():
    visitors = Visitors()
    for job, place in (("a", "generate"), ("b", "edit")):
        visitors.remember("browser", "one", job, place)
        visitors.look_at("visit", job)
    visitors.look_away("visit", "a")
    assert visitors.unwatched("browser") == ("a",)
    assert visitors.unwatched("browser", "edit") == ()


def test_a_visit_that_watches_nothing_takes_no_room():
    visitors = Visitors()
    visitors.look_at("visit", "a")
    visitors.look_away("visit", "a")
    assert visitors._watched == {}
