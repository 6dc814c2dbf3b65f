"""What opens a way in from outside is run only if it is known byte for byte."""

from __future__ import annotations

import json
import os

import pytest

from engine.errors import Cancelled, DownloadCorrupt, HostRefused, NetworkError
from engine.hub.relay import CERTIFICATE, RelaySource, prepare_relay
from tests.engine.hub.server import sha256

PROGRAM = b"\x7fELF" + bytes(100_000)
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
SERVER = {"host": "relay.example", "port": 7000, "root_ca": PEM}


@pytest.fixture
def source(hub) -> RelaySource:
    hub.files["program"] = PROGRAM
    tell(hub, [SERVER])
    return RelaySource(
        program_url=f"{hub.endpoint}/cdn/program",
        sha256=sha256(PROGRAM),
        name="frpc",
        question=f"{hub.endpoint}/cdn/question",
    )


def tell(hub, answer: object) -> None:
    hub.files["question"] = json.dumps(answer).encode()


def test_program_server_and_certificate_are_brought(source, tmp_path):
    relay = prepare_relay(source, tmp_path / "tunnel")
    assert relay.program.read_bytes() == PROGRAM
    assert os.access(relay.program, os.X_OK)
    assert relay.server == "relay.example:7000"
    assert relay.certificate == tmp_path / "tunnel" / CERTIFICATE
    assert relay.certificate.read_text() == PEM


def test_a_program_that_is_here_is_not_fetched_again_but_one_that_changed_is(hub, source, tmp_path):
    program = prepare_relay(source, tmp_path).program
    prepare_relay(source, tmp_path)
    assert hub.gets() == ["", "", ""]
    program.write_bytes(PROGRAM + b"and more")
    prepare_relay(source, tmp_path)
    assert program.read_bytes() == PROGRAM


def test_another_program_is_never_kept(hub, source, tmp_path):
    hub.files["program"] = PROGRAM[:-1] + b"x"
    with pytest.raises(DownloadCorrupt):
        prepare_relay(source, tmp_path)
    assert not (tmp_path / "frpc").exists()


@pytest.mark.parametrize(
    "answer",
    [
        [], {}, [{}], [{**SERVER, "host": "a b"}], [{**SERVER, "host": "-oProxyCommand=x"}],
        [{**SERVER, "port": 0}], [{**SERVER, "port": 70000}], [{**SERVER, "port": "7000"}],
        [{**SERVER, "root_ca": ""}], [{**SERVER, "root_ca": "-----BEGIN PRIVATE KEY-----"}],
        [{"host": "relay.example", "port": 7000}], "relay.example", None,
    ],
    ids=repr,
)  # fmt: skip
def test_an_answer_that_names_no_server_is_refused(hub, source, tmp_path, answer):
    tell(hub, answer)
    with pytest.raises(NetworkError, match="named no server"):
        prepare_relay(source, tmp_path)
    assert not (tmp_path / CERTIFICATE).exists()


def test_a_server_that_sends_without_end_is_left(hub, source, tmp_path):
    hub.files["question"] = b" " * 100_000
    with pytest.raises(NetworkError, match="more than"):
        prepare_relay(source, tmp_path)


def test_a_server_that_is_away_is_named(hub, source, tmp_path):
    del hub.files["question"]
    with pytest.raises(NetworkError, match="404"):
        prepare_relay(source, tmp_path)


def test_nothing_is_fetched_from_elsewhere(hub, source, tmp_path):
    with pytest.raises(HostRefused):
        prepare_relay(
            RelaySource(
                program_url="https://evil.example/frpc",
                sha256=source.sha256,
                name="frpc",
                question=source.question,
            ),
            tmp_path,
        )


def test_whoever_waits_can_stop_it(source, tmp_path):
    with pytest.raises(Cancelled):
        prepare_relay(source, tmp_path, lambda: True)
