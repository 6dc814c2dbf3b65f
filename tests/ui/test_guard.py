"""What the guard lets through and what it turns away."""

from __future__ import annotations

import asyncio
import json

import pytest

from ui.guard import HEADERS, LOGIN_SECONDS, LOGIN_TRIES, MAX_JSON, Guard, host_is_ours

OURS = "127.0.0.1:7860"


class Site:
    """A guard before an application that counts what reaches it."""

    def __init__(
        self, *, loopback: bool = True, shared: bool = False, login_status: int = 400
    ) -> None:
        self.reached = 0
        self.heard = b""
        self.now = 0.0
        self._login_status = login_status
        self._guard = Guard(self._answer, loopback=loopback, shared=shared, clock=lambda: self.now)

    async def _answer(self, scope, receive, send) -> None:
        self.reached += 1
        if scope.get("method") == "POST" and receive is not None and scope["path"] != "/login":
            self.heard = (await receive())["body"]
        status = self._login_status if scope.get("path") == "/login" else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def ask(
        self,
        path: str = "/",
        *,
        method: str = "GET",
        kind: str = "http",
        body: bytes = b"{}",
        **headers: str,
    ):
        """Return the status and the headers of an answer; None for a closed socket."""
        sent, pieces = [], [body[i : i + 2**24] for i in range(0, len(body), 2**24)]

        async def receive():
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        async def send(message) -> None:
            sent.append(message)

        names = {"host": OURS, **headers}
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in names.items()]
        scope = {"type": kind, "path": path, "headers": raw}
        if kind == "http":
            scope["method"] = method
        asyncio.run(self._guard(scope, receive, send))
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


@pytest.mark.parametrize("host", ["abc.gradio.live", "ABC.gradio.live:443", "127.0.0.1:7860"])
def test_a_shared_page_answers_to_the_name_of_its_tunnel(host):
    assert Site(shared=True).ask(host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["gradio.live", "evilgradio.live", "abc.gradio.live.evil.example", "abc.gradio.live."]
)
def test_a_shared_page_answers_to_no_other_name(host):
    assert Site(shared=True).ask(host=host)[0] == 400
    assert Site().ask(host="abc.gradio.live")[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        "http://10.0.0.1/x.png",
        "https://example.com/x",
        "HTTP://x",
        " https://x",
        "ftp://x",
        "file:x",
    ],
)
@pytest.mark.parametrize("wrap", ['{"data": [%s]}', '{"data": [[{"image": %s}]]}', "[%s]"])
def test_no_call_makes_the_page_fetch_an_address(path, wrap):
    site = Site()
    call = wrap % json.dumps({"path": path, "meta": {"_type": "gradio.FileData"}})
    assert site.ask("/gradio_api/queue/join", method="POST", body=call.encode())[0] == 403
    hidden = call.replace(path, f"\\u{ord(path[0]):04x}{path[1:]}")
    assert site.ask("/gradio_api/queue/join", method="POST", body=hidden.encode())[0] == 403
    assert site.reached == 0


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": [{"path": "/data/page/a.png", "url": "http://127.0.0.1/a.png"}]}', b"",
        b'{"data": ["a picture of https://example.com"]}', b"not json", b"[" * 100_000, b"{}" * 9,
    ],
    ids=lambda body: repr(body)[:20],
)  # fmt: skip
def test_other_calls_arrive_as_they_were_sent(body):
    site = Site()
    assert site.ask("/gradio_api/queue/join", method="POST", body=body or b" ")[0] == 200
    assert site.heard == (body or b" ")


def test_a_call_without_end_is_cut_off():
    site = Site()
    assert site.ask("/gradio_api/queue/join", method="POST", body=bytes(MAX_JSON + 1))[0] == 413
    assert site.reached == 0
