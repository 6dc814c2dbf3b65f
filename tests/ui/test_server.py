"""The served page, asked the way strangers ask."""

from __future__ import annotations

import http.client
import json
from urllib.parse import quote, urlsplit

import pytest

from tests.ui.conftest import another_page, free_port
from tests.ui.fake_engine import FakeEngine
from ui.launch import CACHE, LaunchOptions
from ui.serving import USER_NAME

FORM = "application/x-www-form-urlencoded"


class Client:
    """A client that may lie about anything."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc

    def ask(self, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str):
        """Return status, headers and body of an answer."""
        connection = http.client.HTTPConnection(self._netloc, timeout=30)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Host": self._netloc, **names})
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    def log_in(self, password: str) -> tuple[int, str]:
        """Return the status and the cookies of a try."""
        body = f"username={USER_NAME}&password={quote(password)}".encode()
        status, headers, _ = self.ask("/login", method="POST", body=body, Content_Type=FORM)
        cookies = headers.get("set-cookie", "")
        return status, cookies.split(";")[0]


@pytest.fixture
def client(served) -> Client:
    return Client(served.url)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the studio that others may reach keeps everything."""
    return tmp_path_factory.mktemp("locked")


@pytest.fixture(scope="module")
def locked(folder):
    """A page that others may reach, with its password."""
    with FakeEngine(folder) as engine:
        options = LaunchOptions(
            host="0.0.0.0", port=free_port(), browser=False, password="open sesame"
        )
        with another_page(engine, options) as page:
            yield page


def test_the_page_is_there_and_keeps_to_itself(client):
    status, headers, _ = client.ask("/")
    assert status == 200
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]


def test_another_host_or_origin_gets_nothing_and_leaves_nothing(client, studio):
    cache = studio.settings.data_dir / CACHE
    before = set(cache.rglob("*"))
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nhi\r\n--x--'
    kind = "multipart/form-data; boundary=x"
    for lie, refused in (
        ({"Host": "rebind.example"}, 400),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
    ):
        path = "/gradio_api/upload"
        status, _, _ = client.ask(path, method="POST", body=part, Content_Type=kind, **lie)
        assert status == refused
    assert set(cache.rglob("*")) == before


def test_no_file_but_the_copies_on_the_page_is_served(client, studio):
    folder = studio.settings.output_folder
    folder.mkdir(exist_ok=True)
    secret = folder / "note.html"
    secret.write_text("<script>alert(1)</script>", encoding="utf-8")
    for path in ("/etc/passwd", str(secret), str(folder), __file__, "../../etc/passwd"):
        assert client.ask(f"/gradio_api/file={quote(path)}")[0] in {403, 404}


def test_the_page_lists_no_folder_of_this_computer_to_those_who_only_log_in(locked, folder):
    client = Client(locked.url)
    _, cookie = client.log_in("open sesame")
    _, _, config = client.ask("/config", Cookie=cookie)
    assert b"prompt" in config
    assert b"output-folder" not in config
    assert str(folder).encode() not in config


def test_without_the_password_there_is_no_page(locked):
    client = Client(locked.url)
    for path in ("/config", "/gradio_api/info", "/gradio_api/file=x", "/gradio_api/queue/status"):
        assert client.ask(path)[0] in {401, 403}
    body = json.dumps({"fn_index": 0, "data": [], "session_hash": "x"}).encode()
    path = "/gradio_api/queue/join"
    assert client.ask(path, method="POST", body=body, Content_Type="application/json")[0] == 401


def test_only_the_right_name_and_password_open_it(locked):
    client = Client(locked.url)
    assert client.log_in("wrong")[0] == 400
    assert client.log_in("open sesame ")[0] == 400
    assert client.log_in("")[0] in {400, 422}
    status, cookie = client.log_in("open sesame")
    assert status == 200
    assert client.ask("/config", Cookie=cookie)[0] == 200


def test_a_guesser_is_slowed_down(locked):
    client = Client(locked.url)
    answers = [client.log_in("wrong")[0] for _ in range(40)]
    assert answers.count(429) >= 30
