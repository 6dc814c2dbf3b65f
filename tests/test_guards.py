"""The guards of conftest.py hold: a test cannot leave this machine unless it says so."""

from __future__ import annotations

import random
import socket

import pytest


def test_a_connection_beyond_the_loopback_is_refused():
    with socket.socket() as caller, pytest.raises(RuntimeError, match=r"reached for 192\.0\.2\.1"):
        caller.connect(("192.0.2.1", 80))


def test_a_name_beyond_the_loopback_is_not_looked_up():
    with pytest.raises(RuntimeError, match=r"reached for example\.org"):
        socket.create_connection(("example.org", 80))


def test_the_loopback_is_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1])).close()


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_draws_the_same_numbers(turn):
    assert random.random() == random.Random(0).random()


def test_the_data_folder_is_empty(data_folder):
    assert list(data_folder.iterdir()) == []
