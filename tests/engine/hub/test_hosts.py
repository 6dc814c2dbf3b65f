"""Nothing is asked but the hub, its delivery network, or the mirror that the user named."""

from __future__ import annotations

import socket

import pytest

from engine.errors import HostRefused, NetworkError
from engine.hub.hosts import HUB, choose_hosts
from engine.hub.watch import Watch
from engine.hub.wire import Wire
from tests.engine.hub.server import QUICK, Hub, get, noise, source

REFUSED = [
    "http://huggingface.co/a",
    "https://huggingface.co:8443/a",
    "https://huggingface.co:0/a",
    "https://huggingface.co:99999/a",
    "https://huggingface.co:x/a",
    "https://user@huggingface.co/a",
    "https://user:secret@huggingface.co/a",
    "https://huggingface.co@evil.example/a",
    "https://:secret@huggingface.co/a",
    "https://huggingface.co%2eevil.example/a",
    "https://huggingface.co\\@evil.example/a",
    "https://huggingface.co .evil.example/a",
    "https://huggingface.co./a",
    "https://huggingface.co\n.evil.example/a",
    "https://huggingface.co\0/a",
    "https://huggingface.co.evil.example/a",
    "https://evilhuggingface.co/a",
    "https://evil.example/huggingface.co",
    "https://hf.co.evil.example/a",
    "https://xhf.co/a",
    "https://huggingface.com/a",
    "https://127.0.0.1/a",
    "https://localhost/a",
    "https://2130706433/a",
    "https://0x7f000001/a",
    "https://0177.0.0.1/a",
    "https://127.1/a",
    "https://[::1]/a",
    "https://[::ffff:127.0.0.1]/a",
    "https://[fe80::1%25eth0]/a",
    "https://192.168.0.1/a",
    "https://10.0.0.1/a",
    "https://169.254.169.254/latest/meta-data",
    "https://metadata.google.internal/a",
    "ftp://huggingface.co/a",
    "file:///etc/passwd",
    "data:text/plain,a",
    "//huggingface.co/a",
    "huggingface.co/a",
    "https:///a",
    "https://hüggingface.co/a",
    "https://%6cocalhost/a",
    "gopher://hf.co/a",
    "https://huggingface.co/" + "a" * 9000,
]

ALLOWED = [
    "https://huggingface.co/a/resolve/main/b",
    "https://hf.co/a",
    "https://cdn-lfs.huggingface.co/a?Signature=b",
    "https://cas-bridge.xethub.hf.co/a",
    "https://cdn-lfs-us-1.hf.co:443/a",
]

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "192.0.2.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:db8::1",
]


@pytest.fixture
def no_sockets(monkeypatch):
    """Every socket and every look-up is counted, and none is made."""
    made: list[object] = []

    def refuse(*arguments, **options):
        made.append(arguments)
        raise OSError("no sockets here")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return made


@pytest.mark.parametrize("url", REFUSED)
def test_other_addresses_are_refused_without_a_connection(url, no_sockets):
    hosts = choose_hosts(None, {})
    with (
        Wire(hosts, QUICK, Watch()) as wire,
        pytest.raises(HostRefused),
        wire.ask("GET", url, {}, follow=True),
    ):
        pass
    assert no_sockets == []


@pytest.mark.parametrize("url", ALLOWED)
def test_the_hub_and_its_delivery_network_are_asked(url):
    choose_hosts(None, {}).check_url(url)


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_off_the_public_internet_are_refused(address):
    with pytest.raises(HostRefused, match="public internet"):
        choose_hosts(None, {}).check_address(address, "huggingface.co")


@pytest.mark.parametrize("address", ["3.165.1.2", "2600:9000:20a5::1", "::ffff:3.165.1.2"])
def test_public_addresses_are_connected_to(address):
    choose_hosts(None, {}).check_address(address, "huggingface.co")


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_of_the_hub_that_leads_home_is_refused_at_the_socket(address, monkeypatch):
    made: list[object] = []
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        # The first answer is a public one; every one must be.
        lambda *_, **__: [(0, 0, 0, "", ("3.165.1.2", 443)), (0, 0, 0, "", (address, 443))],
    )
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *arguments: made.append(arguments))
    with (
        Wire(choose_hosts(None, {}), QUICK, Watch()) as wire,
        pytest.raises(HostRefused),
        wire.ask("GET", f"{HUB}/a", {}, follow=True),
    ):
        pass
    assert made == []


def test_a_peer_that_is_not_the_one_that_was_checked_is_refused(hub, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("3.165.1.2", 443))])
    connect = socket.socket.connect_ex
    monkeypatch.setattr(
        socket.socket,
        "connect_ex",
        lambda self, address: connect(self, ("127.0.0.1", hub.server_address[1])),
    )
    with (
        Wire(choose_hosts(None, {}), QUICK, Watch()) as wire,
        pytest.raises(HostRefused, match=r"leads to 127\.0\.0\.1"),
        wire.ask("GET", f"{HUB}/a", {}, follow=True),
    ):
        pass
    assert hub.asked == []


def test_an_endpoint_comes_from_the_user_then_the_environment_then_is_the_hub():
    named = {"HF_ENDPOINT": "https://mirror.example/"}
    assert choose_hosts("https://other.example", named).endpoint == "https://other.example"
    assert choose_hosts(None, named).endpoint == "https://mirror.example"
    assert choose_hosts(None, {}).endpoint == HUB
    hosts = choose_hosts(None, named)
    hosts.check_url("https://mirror.example/a")
    hosts.check_url("https://cdn-lfs.hf.co/a")


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://mirror.example",
        "https://user:secret@mirror.example",
        "https://mirror.example:8443",
        "https://mirror.example/path",
        "https://mirror.example?a=b",
        "mirror.example",
        "https://mirror.example#a",
        "http://192.168.0.1",
        "http://127.0.0.2",
        "http://localhost.evil.example",
    ],
)
def test_an_endpoint_must_be_a_plain_https_server(endpoint):
    with pytest.raises(HostRefused) as caught:
        choose_hosts(endpoint, {})
    assert "secret" not in str(caught.value)


def test_a_mirror_may_run_on_this_machine_and_only_there():
    hosts = choose_hosts("http://localhost:8000", {})
    hosts.check_url("http://localhost:8000/a")
    hosts.check_address("127.0.0.1", "localhost")
    with pytest.raises(HostRefused):
        hosts.check_url("http://localhost:8001/a")
    with pytest.raises(HostRefused):
        hosts.check_address("127.0.0.1", "huggingface.co")
    with pytest.raises(HostRefused):
        hosts.check_address("192.168.0.1", "localhost")


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:1/x",
        "http://169.254.169.254/latest",
        "https://192.168.0.1/x",
        "https://evil.example/x",
        "//evil.example/x",
        "file:///etc/passwd",
        "https://huggingface.co.evil.example/x",
        "https://user:secret@huggingface.co/x",
    ],
)
def test_a_redirect_to_elsewhere_is_refused(hub: Hub, tmp_path, target):
    data = noise(1000)
    hub.files["a.bin"] = data
    hub.location = target
    with pytest.raises(HostRefused):
        get(hub, source("a.bin", data), tmp_path)
    assert not (tmp_path / "a.bin").exists()


def test_redirects_without_end_are_an_error(hub: Hub, tmp_path):
    hub.files["a.bin"] = noise(1000)
    hub.location = f"{hub.endpoint}/maker/model/resolve/main/a.bin"
    with pytest.raises(NetworkError, match="redirects without end"):
        get(hub, source("a.bin", noise(1000)), tmp_path)


def test_a_server_that_is_not_there_is_an_error(hub: Hub, tmp_path):
    hub.close()
    with pytest.raises(NetworkError, match="broke"):
        get(hub, source("a.bin", noise(1000)), tmp_path)
