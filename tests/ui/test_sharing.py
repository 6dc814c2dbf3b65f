"""A guest page behind a tunnel: opened, closed, limited, and never left open."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from engine import BadRequest, CancelledError, QueueFull, Request, ResourceError, UserError
from tests.ui.conftest import another_page, free_port
from tests.ui.test_server import FORM, Client
from tests.ui.tunnels import fake_tunnel
from ui import sharing_strings as strings
from ui import tunnel as tunnel_module
from ui.guests import FOLDER, MAX_COUNT, MAX_JOBS, MAX_PIXELS, MAX_STEPS, Guests
from ui.launch import LaunchOptions, clear_environment
from ui.sharing import MAX_HOURS, MIN_PASSWORD, Phase, Sharing

ROOT = Path(__file__).parents[2]
STUDIO = """
import sys, time
from pathlib import Path
from tests.ui.fake_engine import FakeEngine
from tests.ui.tunnels import fake_tunnel
from ui.launch import LaunchOptions, open_page
import signal
def interrupt(*_): raise KeyboardInterrupt
signal.signal(signal.SIGTERM, interrupt)
folder = Path(sys.argv[1])
options = LaunchOptions(port=int(sys.argv[2]), browser=False, share=True)
with FakeEngine(folder) as engine, open_page(engine, options, fake_tunnel(folder)) as page:
    sys.stdout.write(page.sharing.state().url + "\\n")
    sys.stdout.flush()
    page.wait()
"""


@pytest.fixture(autouse=True)
def _our_environment(engine):
    """What `open_page` sets, for pages that are opened without it."""
    clear_environment(os.environ, engine.settings.data_dir)


@pytest.fixture
def sharing(engine, tmp_path):
    """Sharing that works, closed at the end."""
    made = Sharing(engine, fake_tunnel(tmp_path))
    yield made
    made.stop()


class Guest(Client):
    """A visitor of the link, who finds its name at this computer."""

    def __init__(self, url: str) -> None:
        self._name = urlsplit(url).netloc
        super().__init__(f"http://127.0.0.1:{urlsplit(url).port}")

    def ask(self, path: str, **rest):
        return super().ask(path, **{"Host": self._name, **rest})

    def enter(self, password: str) -> str:
        body = f"username=guest&password={password}".encode()
        status, headers, _ = self.ask("/login", method="POST", body=body, Content_Type=FORM)
        assert status == 200
        return headers["set-cookie"].split(";")[0]


def test_guests_find_a_page_without_settings_behind_the_password(sharing, engine):
    sharing.start()
    share = sharing.state()
    assert share.phase is Phase.ON
    guest = Guest(share.url)
    assert guest.ask("/config")[0] == 401
    assert guest.log_in(share.password)[0] == 400
    status, _, config = guest.ask("/config", Cookie=guest.enter(share.password))
    assert status == 200
    assert b"prompt" in config
    for secret in (b"output-folder", b"save-settings", str(engine.settings.data_dir).encode()):
        assert secret not in config


def test_another_name_or_origin_gets_nothing_through_the_tunnel(sharing):
    sharing.start()
    share = sharing.state()
    guest = Guest(share.url)
    cookie = guest.enter(share.password)
    assert guest.ask("/config", Host="rebind.example", Cookie=cookie)[0] == 400
    assert guest.ask("/config", Host="gradio.live", Cookie=cookie)[0] == 400
    assert guest.ask("/config", Host="evilgradio.live", Cookie=cookie)[0] == 400
    assert guest.ask("/", Origin="https://other.gradio.live", Cookie=cookie)[0] == 403


def test_the_owners_page_is_not_reached_by_the_name_of_a_tunnel(served):
    assert Client(served.url).ask("/", Host="abc123.gradio.live")[0] == 400


def test_after_the_stop_the_link_is_dead_and_the_owners_page_is_not(sharing, served):
    sharing.start()
    url = sharing.state().url
    sharing.stop()
    assert sharing.state().phase is Phase.OFF
    assert sharing.state().password == ""
    with pytest.raises(OSError):
        Guest(url).ask("/")
    assert Client(served.url).ask("/")[0] == 200
    sharing.stop()


def test_every_start_has_a_link_and_a_password_of_its_own(sharing):
    seen = set()
    for _ in range(2):
        sharing.start()
        sharing.start()
        share = sharing.state()
        seen |= {share.url, share.password}
        assert len(share.password) >= 16
        sharing.stop()
    assert len(seen) == 4


def test_a_given_password_is_taken_and_a_short_one_refused(sharing):
    with pytest.raises(UserError, match="fewer"):
        sharing.start(password="x" * (MIN_PASSWORD - 1))
    assert sharing.state().phase is Phase.OFF
    sharing.start(password="x" * MIN_PASSWORD)
    assert sharing.state().password == "x" * MIN_PASSWORD


@pytest.mark.parametrize("hours", [0, -1, MAX_HOURS + 0.1, float("nan"), float("inf")])
def test_a_time_that_is_not_on_offer_is_refused(sharing, hours):
    with pytest.raises(UserError, match="hours"):
        sharing.start(hours=hours)


def test_it_ends_by_itself_when_the_time_is_up(sharing):
    sharing.start(hours=0.5 / 3600)
    url = sharing.state().url
    wait_until(lambda: sharing.state().phase is Phase.OFF)
    assert sharing.state().note == strings.ENDED_LIMIT
    wait_until(lambda: not answers(url))


def test_it_says_how_much_time_is_left(sharing):
    sharing.start(hours=2)
    assert 7100 <= sharing.state().seconds_left <= 7200
    assert strings.ends_in(7200) == "Ends by itself in 2 h 0 min."
    assert strings.ends_in(59) == "Ends by itself in 1 min."


def test_a_link_that_breaks_ends_it_and_says_so(engine, tmp_path):
    sharing = Sharing(engine, fake_tunnel(tmp_path, "dies"))
    sharing.start()
    wait_until(lambda: sharing.state().phase is Phase.OFF)
    assert sharing.state().note == strings.ENDED_LOST


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("refuses", "login to server failed"),
        ("will-not-start", "no such server"),
        ("is-silent", "login to server success"),
    ],
)
def test_a_link_that_does_not_open_leaves_nothing_open(
    engine, tmp_path, monkeypatch, behaviour, said
):
    monkeypatch.setattr(tunnel_module, "OPEN_SECONDS", 3.0)
    monkeypatch.setenv("FAKE_FRPC_PID", str(tmp_path / "pid"))
    before = listening()
    sharing = Sharing(engine, fake_tunnel(tmp_path, behaviour))
    with pytest.raises(ResourceError, match=said):
        sharing.start()
    assert sharing.state().phase is Phase.OFF
    assert said in sharing.state().note
    wait_until(lambda: not runs(tmp_path / "pid"))
    assert listening() <= before


def test_a_program_that_is_not_there_is_said(engine, tmp_path):
    make = fake_tunnel(tmp_path)
    (tmp_path / "frpc").unlink()
    with pytest.raises(ResourceError, match="frpc"):
        Sharing(engine, make).start()


def test_whoever_does_not_want_to_wait_can_stop_it(engine, tmp_path):
    sharing = Sharing(engine, fake_tunnel(tmp_path, "is-silent"))
    failures: list[BaseException] = []

    def start() -> None:
        try:
            sharing.start()
        except CancelledError as error:
            failures.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    wait_until(lambda: sharing.state().phase is Phase.STARTING)
    sharing.stop()
    assert sharing.state().phase is Phase.OFF
    thread.join(20)
    assert len(failures) == 1


def test_share_on_the_command_line_is_the_same(engine, tmp_path):
    options = LaunchOptions(port=free_port(), browser=False, share=True, password="a long password")
    with another_page(engine, options, fake_tunnel(tmp_path)) as page:
        share = page.sharing.state()
        assert page.password is None
        assert share.password == "a long password"
        assert Guest(share.url).ask("/")[0] == 200
    assert not answers(share.url)


def test_share_that_cannot_be_opens_no_page_at_all(engine, tmp_path):
    options = LaunchOptions(port=free_port(), browser=False, share=True, password="short")
    with pytest.raises(UserError, match="fewer"), another_page(engine, options):
        pass
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", options.port)) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_link_dies_with_the_program_however_that_ends(tmp_path, number):
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "FAKE_FRPC_PID": str(tmp_path / "pid"),
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", STUDIO, str(tmp_path), str(free_port())],
        env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as studio:  # fmt: skip
        url = studio.stdout.readline().strip()
        assert answers(url)
        assert runs(tmp_path / "pid")
        studio.send_signal(number)
        studio.wait(60)
    wait_until(lambda: not runs(tmp_path / "pid"))
    assert not answers(url)


def test_guests_are_counted(engine):
    guests = Guests(engine)
    for visit in ("a", "b", "a"):
        guests.enter(visit)
    assert guests.count == 2
    guests.leave("a")
    guests.leave("stranger")
    assert guests.count == 1
    assert [strings.guests(n).split()[0] for n in range(3)] == ["No", "1", "2"]


@pytest.mark.parametrize(
    "much",
    [
        {"width": 2048, "height": MAX_PIXELS // 2048 + 16},
        {"width": 4096, "model": "base"},
        {"steps": MAX_STEPS + 1},
        {"count": MAX_COUNT + 1},
    ],
)
def test_a_guest_gets_no_more_than_guests_may(engine, much):
    with pytest.raises(BadRequest, match="more than a guest"):
        Guests(engine).submit(Request(prompt="x", **much), "a")
    Guests(engine).check(Request(prompt="x", steps=MAX_STEPS, count=MAX_COUNT))


def test_a_guests_picture_is_no_way_around_the_limit(engine):
    guests, large = Guests(engine), io.BytesIO()
    Image.new("L", (2048, 1100), 255).save(large, "PNG")
    name = engine.keep_input(large.getvalue())
    given = Request(prompt="x", model="demo-turbo", images=(name,), mask=name)
    for wanted in (given, given.with_values(mask=None, extend=(0, 0, 0, 64))):
        with pytest.raises(BadRequest, match="more than a guest"):
            guests.check(wanted)
    guests.check(given.with_values(masked_only=True))


def test_guests_wait_in_a_short_queue_and_their_pictures_lie_apart(engine):
    guests = Guests(engine)
    engine.go_on.clear()
    small = Request(prompt="x", width=64, height=64, steps=1)
    jobs = [guests.submit(small, "a") for _ in range(MAX_JOBS)]
    with pytest.raises(QueueFull, match=str(MAX_JOBS)):
        guests.submit(small, "a")
    engine.go_on.set()
    done = [list(engine.events(job))[-1] for job in jobs]
    folders = {picture.path.parent for end in done for picture in end.result.pictures}
    assert folders == {engine.settings.output_folder.absolute() / FOLDER}
    guests.submit(small, "a")


def test_what_guests_wait_for_ends_with_the_sharing(sharing, engine):
    sharing.start()
    guests = sharing._house.guests
    engine.go_on.clear()
    jobs = [guests.submit(Request(prompt="x", width=64, height=64, steps=4), "a") for _ in range(3)]
    sharing.stop()
    engine.go_on.set()
    endings = [type(list(engine.events(job))[-1]).__name__ for job in jobs]
    assert endings == ["Cancelled"] * 3


def wait_until(done) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port)) == 0


def runs(note: Path) -> bool:
    """Whether the program that left its id in a file still runs."""
    try:
        os.kill(int(note.read_text()), 0)
    except (ProcessLookupError, FileNotFoundError):
        return False
    return True


def listening() -> set[str]:
    """The ports of this computer that something of this process listens on."""
    mine = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    rows = Path("/proc/self/net/tcp").read_text().splitlines()[1:]
    return {
        row.split()[1]
        for row in rows
        if row.split()[3] == "0A" and f"socket:[{row.split()[9]}]" in mine
    }
