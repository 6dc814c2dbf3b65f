"""Every handler of the guests' page, called by its number with hostile values.

Whatever a guest calls: no setting, model, folder or file of the owner changes or is told.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from engine import Downloads, LoraReport, Settings
from tests.ui.conftest import free_port
from tests.ui.fake_catalogue import FakeCatalogue
from tests.ui.fake_engine import FakeEngine
from ui.guests import FOLDER, Guests
from ui.launch import clear_environment
from ui.serving import Exposure, PageOptions, build_served
from ui.sharing import USER_NAME, Sharing

KEY = "guests know this"
OWN = "owner-secret"
"""A word in the names of the owner's folders and files."""
SECRET = "what only the owner knows"
"""Words in the owner's files, which no guest ever sends."""
CALLS = 2
"""How often each number is called, each time with other values in each place."""
OWNERS = (
    "ui.tabs.settings",
    "ui.tabs.machine",
    "ui.tabs.models",
    "ui.tabs.sharing",
    "ui.tabs.stores",
)
"""Modules whose handlers only the owner may reach."""
TIMEOUT = 60.0
ENDS = (b"process_completed", b"unexpected_error", b"close_stream")


class Alarm(FakeEngine):
    """Notes whatever only the owner may have done."""

    def __init__(self, folder: Path) -> None:
        self.rung: list[str] = []
        super().__init__(folder, step_seconds=0.0)

    def update_settings(self, settings: Settings) -> None:
        self.rung.append("update_settings")
        super().update_settings(settings)

    def optimise(self):
        self.rung.append("optimise")
        return super().optimise()

    def plan_download(self, *given, **named):
        self.rung.append("plan_download")
        return super().plan_download(*given, **named)

    @property
    def downloads(self) -> Downloads:
        return self._downloads

    @property
    def catalogue(self) -> FakeCatalogue:
        return Watched(self)


class Watched(FakeCatalogue):
    """A catalogue whose list only the owner may change, and whose paths only the owner may open."""

    def __init__(self, engine: Alarm) -> None:
        super().__init__(engine.settings, engine.shelves)
        self._rung = engine.rung

    def add(self, path):
        self._rung.append(f"add {path}")
        return super().add(path)

    def remove(self, name):
        self._rung.append(f"remove {name}")
        super().remove(name)

    def settle(self, name, variant):
        self._rung.append(f"settle {name}")
        super().settle(name, variant)

    def look(self, name):
        if os.sep in name:
            self._rung.append(f"look {name}")
        return super().look(name)

    def lora(self, name, model) -> LoraReport:
        if os.sep in name:
            self._rung.append(f"lora {name}")
        return super().lora(name, model)


def until_the_end(stream) -> Iterator[bytes]:
    """Yield the lines of a stream that does not end by itself, up to the one that says the end."""
    for line in iter(stream.readline, b""):
        yield line
        if any(end in line for end in ENDS):
            return


class Guest:
    """Somebody with the link, and with or without the password."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self._place = urlsplit(url).netloc
        self._cookie = "" if key is None else self._enter(key)

    def ask(self, path: str, body: object = None) -> tuple[int, bytes]:
        """Send a body as JSON, if there is one; return status and answer."""
        sent = None if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if sent else {}
        return self._send("GET" if sent is None else "POST", path, sent, kind)

    def call(self, number: int, data: list[object]) -> bytes:
        """Call a handler past the queue and through it; return all that came back."""
        visit = secrets.token_hex(6)
        event = {"act": "start", "name": "turbo", "precision": "bf16", "index": 0, "value": "x"}
        body = {"fn_index": number, "data": data, "session_hash": visit, "event_data": event}
        status, answer = self.ask("/gradio_api/run/predict", body)
        joined, told = self.ask("/gradio_api/queue/join", body)
        if joined == 200:
            told += self._listen(visit)
        assert status in {200, 404, 422, 500}, status
        return answer + told

    def _listen(self, visit: str) -> bytes:
        """Return what a call of the queue tells until it ends."""
        with closing(http.client.HTTPConnection(self._place, timeout=TIMEOUT)) as connection:
            path = f"/gradio_api/queue/data?session_hash={visit}"
            connection.request("GET", path, headers={"Cookie": self._cookie})
            with connection.getresponse() as stream:
                return b"".join(until_the_end(stream))

    def _enter(self, key: str) -> str:
        body = f"username={USER_NAME}&password={quote(key)}".encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        with closing(http.client.HTTPConnection(self._place, timeout=TIMEOUT)) as connection:
            connection.request("POST", "/login", body, kind)
            with connection.getresponse() as answer:
                answer.read()
                assert answer.status == 200
                return answer.headers["set-cookie"].split(";")[0]

    def _send(self, method: str, path: str, body, headers) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection(self._place, timeout=TIMEOUT)) as connection:
            connection.request(method, path, body, {"Cookie": self._cookie, **headers})
            with connection.getresponse() as answer:
                return answer.status, answer.read()


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """The owner's page and the guests', over one engine whose folders bear the owner's name."""
    before = dict(os.environ)
    folder = tmp_path_factory.mktemp("house") / OWN
    folder.mkdir()
    with Alarm(folder) as engine:
        settings = engine.settings
        for place in (settings.output_folder, settings.lora_folder, settings.data_dir):
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{OWN}.txt").write_text(SECRET, encoding="utf-8")
        engine.update_settings(settings)
        engine.rung.clear()
        clear_environment(os.environ, settings.data_dir)
        guests = Exposure(password=KEY, user=USER_NAME, guests=Guests(engine))
        sharing = Sharing(engine, lambda: None)
        owner = build_served(engine, Exposure(), free_port(), PageOptions(sharing=sharing))
        guest = build_served(engine, guests, free_port())
        yield engine, owner, guest
        owner.close(verbose=False)
        guest.close(verbose=False)
    os.environ.clear()
    os.environ.update(before)


def module_of(function) -> str:
    """The module of whatever a page calls, also through a wrapper."""
    owner = getattr(function.fn, "__self__", None)
    return type(owner).__module__ if owner is not None else str(function.fn.__module__)


def test_the_guests_page_has_no_handler_of_the_owners_tabs(house):
    _, owner, guest = house
    owners = {module_of(function) for function in owner.fns.values() if function.fn}
    assert set(OWNERS) <= owners
    assert not {module_of(f) for f in guest.fns.values() if f.fn} & set(OWNERS)


def hostile(engine: Alarm) -> list[object]:
    """Values that would be of use to somebody who means harm."""
    settings = engine.settings
    file = {"path": str(settings.data_dir / "settings.json"), "meta": {"_type": "gradio.FileData"}}
    return [
        None,
        str(settings.output_folder / f"{OWN}.txt"),
        "../../etc/passwd",
        str(settings.data_dir),
        "/etc/passwd",
        {**file},
        {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
        [[str(settings.data_dir / "settings.json"), 1.0, True]],
        json.dumps({"name": str(settings.lora_folder / f"{OWN}.txt"), "path": "/etc/passwd"}),
        -1,
        True,
        2**70,
        "turbo",
    ]


def state_of(engine: Alarm) -> dict[str, bytes]:
    """Every file of the owner, by its path; what the program keeps for itself may come and go."""
    settings, kept = engine.settings, {}
    for place in (settings.output_folder, settings.lora_folder, settings.data_dir):
        for path in sorted(place.rglob("*")):
            apart = {FOLDER, "page", "inputs", "cache"} & set(path.relative_to(place).parts)
            if path.is_file() and not apart and not path.name.startswith("journal"):
                kept[str(path)] = path.read_bytes()
    return kept


@pytest.mark.slow
def test_no_number_reaches_a_setting_a_model_or_a_file(house):
    engine, owner, guest = house
    visitor, before, values = Guest(guest.local_url, KEY), state_of(engine), hostile(engine)
    numbers = range(max([*owner.fns, *guest.fns]) + 5)
    for number in numbers:
        width = len(guest.fns[number].inputs) if number in guest.fns else 4
        for turn in range(CALLS):
            data = [values[(5 * turn + place) % len(values)] for place in range(width)]
            told = visitor.call(number, data)
            assert SECRET.encode() not in told, (number, data, told[:500])
            assert b"root:" not in told, (number, data)
            assert OWN in json.dumps(data) or OWN.encode() not in told, (number, data, told[:500])
    assert engine.rung == []
    assert state_of(engine) == before
    assert len(numbers) >= 20


def test_no_function_of_a_component_reaches_a_file(house):
    engine, _, guest = house
    visitor, before, asked = Guest(guest.local_url, KEY), state_of(engine), 0
    for number, block in guest.blocks.items():
        for name in [
            n for n in dir(block) if getattr(getattr(block, n, 0), "_is_server_fn", False)
        ]:
            for value in hostile(engine):
                body = {"component_id": number, "fn_name": name, "data": value, "session_hash": "s"}
                _, told = visitor.ask("/gradio_api/component_server", body)
                asked += 1
                assert b"root:" not in told
                assert SECRET.encode() not in told
    assert engine.rung == []
    assert state_of(engine) == before


def test_without_the_password_no_number_answers(house):
    _, owner, guest = house
    stranger = Guest(guest.local_url)
    for number in range(max([*owner.fns, *guest.fns]) + 5):
        body = {"fn_index": number, "data": [], "session_hash": "s"}
        for path in ("run/predict", "queue/join", "component_server"):
            assert stranger.ask(f"/gradio_api/{path}", body)[0] in {401, 403, 404}, (number, path)


def test_the_guests_page_tells_nothing_of_the_owner(house):
    _, _, guest = house
    visitor = Guest(guest.local_url, KEY)
    for path in ("/config", "/gradio_api/info", "/", "/endpoints", "/theme.css"):
        status, told = visitor.ask(path)
        assert OWN.encode() not in told, (path, status)


def test_copies_on_the_owners_page_are_not_served_to_guests(house):
    engine, owner, guest = house
    settings = engine.settings
    copy = Path(owner.GRADIO_CACHE) / "ab" / "picture.png"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(b"\x89PNG")
    examples = settings.data_dir / "page" / "picture.png"
    examples.write_bytes(b"\x89PNG")
    visitor = Guest(guest.local_url, KEY)
    for path in (copy, examples, settings.data_dir / "settings.json", Path(__file__)):
        assert visitor.ask(f"/gradio_api/file={quote(str(path))}")[0] == 403
    assert Guest(owner.local_url).ask(f"/gradio_api/file={quote(str(copy))}")[0] == 200
