"""How commands find a router and what they say when they do not."""

import json
import os
import socket
import subprocess
import sys

import click
import pytest

from router.cli.client import Client, NoRouter, read_address, refusal_text
from router.cli.run import parse_parameters, settings_path


def address_file(folder, pid):
    about = {"api": "http://127.0.0.1:1", "ingress": "", "ops": "", "pid": pid, "token": "t"}
    (folder / "address.json").write_text(json.dumps(about))


def test_the_address_of_a_running_router(tmp_path):
    assert read_address(str(tmp_path)) is None
    address_file(tmp_path, os.getpid())
    found = read_address(str(tmp_path))
    assert found is not None
    assert found.token == "t"


def test_the_address_a_killed_router_left_is_none(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    address_file(tmp_path, gone.pid)
    assert read_address(str(tmp_path)) is None


@pytest.mark.parametrize("content", ["", "{", "{}", '{"pid": "x"}'])
def test_a_broken_address_file_is_no_router(tmp_path, content):
    (tmp_path / "address.json").write_text(content)
    assert read_address(str(tmp_path)) is None
    with pytest.raises(NoRouter, match="router run"):
        Client(str(tmp_path))


def test_nobody_listens_at_the_address(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = Client(str(tmp_path), f"http://127.0.0.1:{port}")
    with pytest.raises(NoRouter, match=str(port)):
        client.json("router", "Describe")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'{"message": "a"}', "a"),
        (b'{"Message": "b", "Type": "User"}', "b"),
        (b'{"Type": "User", "Reason": "c"}', "c"),
        (b"[1]", "[1]"),
        (b"plain", "plain"),
    ],
)
def test_what_a_refusal_says(content, text):
    assert refusal_text(content) == text


def test_parameters():
    assert parse_parameters(("A=1", "B=x=y", "C=")) == {"A": "1", "B": "x=y", "C": ""}
    for wrong in ("A", "=1", ""):
        with pytest.raises(click.BadParameter, match="KEY=VALUE"):
            parse_parameters((wrong,))
    with pytest.raises(click.BadParameter, match="A is given twice"):
        parse_parameters(("A=1", "A=2"))


def test_the_settings_file_named_or_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert settings_path(None) is None
    assert settings_path(tmp_path / "other.toml") == tmp_path / "other.toml"
    (tmp_path / "router.toml").write_text("")
    assert str(settings_path(None)) == "router.toml"


@pytest.mark.parametrize(
    "endpoint", ["", "nonsense", "http://", "http://q]", "http://h:x", "http://h:0", "ftp://h"]
)
def test_an_endpoint_that_is_no_address_is_told(endpoint, tmp_path):
    with pytest.raises(NoRouter, match="no address of an API"):
        Client(str(tmp_path), endpoint)
