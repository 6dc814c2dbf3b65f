"""What the guard lets through and what it turns away."""

from __future__ import annotations

import asyncio

import pytest

from ui.guard import HEADERS, LOGIN_SECONDS, LOGIN_TRIES, Guard, host_is_ours

OURS = "127.0.0.1:7860"


class Site:
    """A guard before an application that counts what reaches it."""

    def __init__(self, *, loopback: bool = True, login_status: int = 400) -> None:
        self.reached = 0
        self.now = 0.0
        self._login_status = login_status
        self._guard = Guard(self._answer, loopback=loopback, clock=lambda: self.now)

    async def _answer(self, scope, receive, send) -> None:
        self.reached += 1
        status = self._login_status if scope.get("path") == "/login" else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def ask(self, path: str = "/", *, method: str = "GET", kind: str = "http", **headers: str):
        """Return the status and the headers of an answer; None for a closed socket."""
        sent = []

        async def send(message) -> None:
            sent.append(message)

        names = {"host": OURS, **headers}
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in names.items()]
        scope = {"type": kind, "path": path, "headers": raw}
        if kind == "http":
            scope["method"] = method
        asyncio.run(self._guard(scope, None, send))
        start = sent[0]
        return start.get("status"), dict(start.get("headers", ()))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:7860", "localhost:1", "[::1]:7860"])
def test_the_owner_is_let_in(host):
    assert Site().ask(host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "rebind.example", "127.0.0.1.example", "localhost.example:7860", "evil@127.0.0.1.example",
        "192.168.1.5:7860", "0.0.0.0", "", "[::1", "localhost.", "2130706433", "0x7f000001",
        "127.0.0.1:7860.evil.example", "xn--80ak6aa92e.com", "10.0.0.1", "::1.example",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_name_that_is_not_ours_is_turned_away(host, method):
    site = Site()
    assert site.ask(host=host, method=method)[0] == 400
    assert site.reached == 0


@pytest.mark.parametrize("host", ["192.168.1.5:7860", "[fe80::1]:7860", "localhost"])
def test_on_a_network_any_address_of_ours_will_do_but_no_strange_name(host):
    assert host_is_ours(host, loopback=False)
    assert not host_is_ours("rebind.example", loopback=False)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example", "null", "", "http://127.0.0.1:7861", "http://localhost:7860",
        "http://127.0.0.1", "file://", "http://127.0.0.1:7860.evil.example", "127.0.0.1:7860",
        "http://evil.example@127.0.0.1:7860", "chrome-extension://abc", "http://127.0.0.1:7860/",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_another_origin_is_turned_away(origin, method):
    site = Site()
    assert site.ask("/gradio_api/upload", method=method, origin=origin)[0] == 403
    assert site.reached == 0


def test_our_own_origin_is_let_in():
    assert Site().ask(method="POST", origin=f"http://{OURS}")[0] == 200


def test_a_program_without_an_origin_is_let_in_but_not_a_page_of_another_site():
    assert Site().ask(method="POST")[0] == 200
    assert Site().ask(method="POST", sec_fetch_site="cross-site")[0] == 403
    assert Site().ask(method="POST", sec_fetch_site="same-site")[0] == 403
    assert Site().ask(method="GET", sec_fetch_site="cross-site")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://example.com/x", "/file=https://example.com", "/gradio_api/proxy=x",
        "/monitoring", "/gradio_api/monitoring/summary", "/gradio_api/openapi.json", "/docs",
        "/gradio_api/deep_link", "/gradio_api/process_recording", "/gradio_api/FILE=HTTP://x",
    ],
)  # fmt: skip
def test_routes_that_the_page_does_not_use_are_closed(path):
    site = Site()
    assert site.ask(path)[0] == 404
    assert site.reached == 0


def test_a_picture_of_the_cache_is_served():
    assert Site().ask("/gradio_api/file=/data/page/a/picture.png")[0] == 200


def test_every_answer_carries_the_headers_that_keep_the_page_to_itself():
    for status, headers in (Site().ask(), Site().ask(host="evil.example")):
        assert status in {200, 400}
        assert all(headers[name] == value for name, value in HEADERS)


def test_a_web_socket_is_guarded_too():
    site = Site()
    assert site.ask(kind="websocket", origin="https://evil.example") == (None, {})
    assert site.reached == 0


def test_a_guesser_is_stopped_after_ten_tries_and_heard_again_a_minute_later():
    site = Site()
    answers = [site.ask("/login", method="POST")[0] for _ in range(500)]
    assert answers.count(400) == site.reached == LOGIN_TRIES
    assert answers.count(429) == 500 - LOGIN_TRIES
    site.now = LOGIN_SECONDS
    site.ask("/login/", method="POST")
    assert site.reached == LOGIN_TRIES + 1


def test_log_ins_that_succeed_are_not_counted():
    site = Site(login_status=200)
    assert {site.ask("/login", method="POST")[0] for _ in range(50)} == {200}
