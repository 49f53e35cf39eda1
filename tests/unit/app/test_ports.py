"""A port that cannot be had is told of with its listener, before anything is started."""

import socket

import pytest

from router.app import ports
from router.model.errors import ConfigError
from tests.ports import lasting_port


def test_free_ones_are_free_afterwards():
    port = lasting_port()
    ports.check_free({"api": f"127.0.0.1:{port}", "ops": "127.0.0.1:0"})
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize(
    ("where", "why"),
    [("192.0.2.1:8080", "assign requested address")],
)
def test_an_address_that_is_not_here(where, why):
    with pytest.raises(ConfigError, match=f"the ops listener cannot have {where}: .*{why}.*--ops"):
        ports.check_free({"ops": where})


def test_one_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"the api listener cannot have {where}: Address"):
            ports.check_free({"api": where})


def test_two_listeners_on_one_port():
    where = f"127.0.0.1:{lasting_port()}"
    with pytest.raises(ConfigError, match=f"the ops listener cannot have {where}"):
        ports.check_free({"api": where, "ops": where})


@pytest.mark.parametrize(
    ("where", "parts"),
    [
        (":80", ("0.0.0.0", 80)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_addresses_are_cut_apart(where, parts):
    assert ports.split(where) == parts


def test_hosts_as_they_stand_in_a_url():
    assert [ports.shown(host) for host in ("::1", "127.0.0.1")] == ["[::1]", "127.0.0.1"]
