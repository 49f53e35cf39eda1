"""What may be asked of the Telemetry API (8.3): only the environment itself is a destination."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.workers.extensions.subscriptions import HOSTS, Invalid, Subscription, parse

USUAL = {
    "schemaVersion": "2022-12-13",
    "types": ["platform", "function"],
    "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243/in?x=1"},
}


def parsed(api: str = "Telemetry", **changes: object) -> Subscription:
    document = {**USUAL, **changes}
    wanted = {name: value for name, value in document.items() if value is not None}
    return parse(api, json.dumps(wanted).encode())


def test_all_of_it():
    assert parsed() == Subscription(
        types=("platform", "function"),
        is_http=True,
        port=4243,
        target="/in?x=1",
        host="sandbox.localdomain:4243",
        items_max=1000,
        bytes_max=262144,
        timeout_ms=25,
        is_structured=True,
    )


def test_defaults():
    found = parsed(schemaVersion="2022-07-01", buffering=None)
    assert (found.items_max, found.bytes_max, found.timeout_ms) == (10_000, 262_144, 1_000)
    assert not found.is_structured
    tcp = parsed("Logs", schemaVersion=None, destination={"protocol": "TCP", "port": 9})
    assert (tcp.is_http, tcp.port) == (False, 9)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"schemaVersion": None}, "schemaVersion must be one of"),
        ({"schemaVersion": "2020-08-15"}, "schemaVersion must be one of"),
        ({"schemaVersion": [1]}, "schemaVersion must be one of"),
        ({"types": []}, "types must be a list"),
        ({"types": ["runtime"]}, "types must be a list"),
        ({"types": [["a"]]}, "types must be a list"),
        ({"buffering": 5}, "buffering must be an object"),
        ({"buffering": {"maxItems": 999}}, "buffering.maxItems"),
        ({"buffering": {"maxBytes": 1_048_577}}, "buffering.maxBytes"),
        ({"buffering": {"timeoutMs": True}}, "buffering.timeoutMs"),
        ({"destination": None}, "destination must be an object"),
        ({"destination": {"protocol": "UDP"}}, "destination.protocol"),
        ({"destination": {"protocol": "TCP", "port": 0}}, "the port"),
        ({"destination": {"protocol": "TCP", "port": "80"}}, "the port"),
        ({"destination": {"protocol": "HTTP"}}, "destination.URI"),
    ],
)
def test_what_is_refused(changes: dict[str, object], text: str):
    with pytest.raises(Invalid, match=text):
        parsed(**changes)


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:80",
        "http://169.254.169.254/latest",
        "http://example.com",
        "http://sandbox.localdomain.example.com",
        "http://sandbox.localdomain@example.com",
        "http://user@sandbox.localdomain:1",
        "https://sandbox.localdomain",
        "file:///etc/passwd",
        "http://sandbox.localdomain:99999",
        "http://sandbox.localdomain:0",
        "http://sandbox.localdomain/a b",
        "http://sandbox.localdomain/\r\nX: y",
        "http://[::1]:80",
        "//sandbox.localdomain",
        "",
    ],
)
def test_no_other_place_than_the_environment(uri: str):
    with pytest.raises(Invalid):
        parsed(destination={"protocol": "HTTP", "URI": uri})


@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=50).map(
            lambda text: json.dumps(
                {**USUAL, "destination": {"protocol": "HTTP", "URI": text}}
            ).encode()
        ),
    )
)
def test_whatever_is_sent_it_is_refused_or_stays_inside(body: bytes):
    try:
        found = parse("Telemetry", body)
    except Invalid:
        return
    assert found.host.partition(":")[0].lower() in HOSTS
    assert found.target.startswith("/")
    assert found.target.isprintable()
