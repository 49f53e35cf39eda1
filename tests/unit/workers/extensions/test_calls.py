"""The Extensions API as bytes on a socket: every answer of `functions-and-invocation.md` 8.3."""

import asyncio
import json
import uuid

import pytest

from tests.unit.workers.runtime_api.test_server import Bed, Client

API = "/2020-01-01/extension"
UNKNOWN = str(uuid.UUID(int=7))


def me(identifier: str) -> str:
    return f"Lambda-Extension-Identifier: {identifier}"


async def register(
    client: Client, name: str = "inside", body: bytes = b'{"events":["INVOKE"]}', *headers: str
) -> str:
    client.send("POST", f"{API}/register", body, f"Lambda-Extension-Name: {name}", *headers)
    status, got, _ = await client.answer()
    assert status == 200
    return got["Lambda-Extension-Identifier"]


def error(error_type: str, text: str) -> tuple[int, dict[str, str]]:
    return 403, {"errorMessage": text, "errorType": error_type}


async def answered(client: Client, method: str, path: str, body: bytes, *headers: str):
    status, answer = await client.call(method, f"{API}/{path}", body, *headers)
    return status, json.loads(answer)


NAMED = "Lambda-Extension-Name: one"
TYPED = "Lambda-Extension-Function-Error-Type: A.B"

REFUSALS = [
    ("POST", "register", b"{}", (), "Extension.InvalidExtensionName", "Empty extension name"),
    ("POST", "register", b"", (NAMED,), "InvalidRequestFormat", "unexpected end of JSON input"),
    ("POST", "register", b"[1]", (NAMED,), "InvalidRequestFormat", "the body is not a JSON object"),
    (
        *("POST", "register", b'{"configurationKeys":["a"]}', (NAMED,), "InvalidRequestFormat"),
        "configurationKeys are deprecated; use environment variables instead",
    ),
    (
        *("POST", "register", b'{"events":[1]}', (NAMED,), "InvalidRequestFormat"),
        "events is not a list of strings",
    ),
    (
        *("POST", "register", b'{"events":["NEXT"]}', (NAMED,), "Extension.InvalidEventType"),
        "NEXT: ErrorInvalidEventType",
    ),
    *(
        (method, path, b"", (), "Extension.MissingExtensionIdentifier", text)
        for text in ("Missing Lambda-Extension-Identifier header",)
        for method, path in (("GET", "event/next"), ("POST", "init/error"), ("POST", "exit/error"))
    ),
    (
        *("GET", "event/next", b"", (me("no"),), "Extension.InvalidExtensionIdentifier"),
        "Invalid Lambda-Extension-Identifier",
    ),
    (
        *("GET", "event/next", b"", (me(UNKNOWN),), "Extension.UnknownExtensionIdentifier"),
        f"Unknown extension {UNKNOWN}",
    ),
    (
        *("POST", "init/error", b"", (me(UNKNOWN),), "Extension.MissingHeader"),
        "Lambda-Extension-Function-Error-Type not found",
    ),
    (
        *("POST", "exit/error", b"", (me(UNKNOWN), TYPED)),
        *("Extension.UnknownExtensionIdentifier", "Unknown Lambda-Extension-Identifier"),
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "error_type", "text"), REFUSALS)
async def test_refusals(api_bed: Bed, method, path, body, headers, error_type, text):
    client = await api_bed.connect()
    assert await answered(client, method, path, body, *headers) == error(error_type, text)


async def test_registration_tells_of_the_function(api_bed: Bed):
    client = await api_bed.connect()
    wish = "Lambda-Extension-Accept-Feature: other, accountId"
    facts = {"functionName": "f", "functionVersion": "7", "handler": "app.handler"}
    status, body = await answered(client, "POST", "register", b"{}", NAMED)
    assert (status, body) == (200, facts)
    named = "Lambda-Extension-Name: two"
    status, body = await answered(client, "POST", "register", b"{}", named, wish)
    assert (status, body) == (200, {"accountId": "000000000000", **facts})


async def test_an_invocation_waits_for_all_and_reaches_who_wants_it(api_bed: Bed):
    runtime, inside, silent = [await api_bed.connect() for _ in range(3)]
    wanting = await register(inside)
    other = await register(silent, "silent", b"{}")
    for client, identifier in ((inside, wanting), (silent, other)):
        client.send("GET", f"{API}/event/next", b"", me(identifier))
    runtime.send("GET", "/2018-06-01/runtime/invocation/next")
    await api_bed.until_ready()
    async with asyncio.timeout(20):
        while not api_bed.extensions.are_ready:
            await asyncio.sleep(0.001)
    api_bed.extensions.invoke({"id": "one", "arn": "arn:f"}, 123)
    status, headers, body = await inside.answer()
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert uuid.UUID(headers["Lambda-Extension-Event-Identifier"])
    assert json.loads(body) == {
        "eventType": "INVOKE",
        "deadlineMs": 123,
        "requestId": "one",
        "invokedFunctionArn": "arn:f",
    }
    assert not api_bed.extensions.are_ready
    inside.send("GET", f"{API}/event/next", b"", me(wanting))
    other_connection = await api_bed.connect()
    status, refusal = await answered(other_connection, "GET", "event/next", b"", me(other))
    assert (status, refusal["errorType"]) == (403, "Extension.InvalidExtensionState")


async def test_an_event_is_kept_for_who_has_lost_its_connection(api_bed: Bed):
    client = await api_bed.connect()
    identifier = await register(client)
    client.send("GET", f"{API}/event/next", b"", me(identifier))
    async with asyncio.timeout(20):
        while not api_bed.extensions.are_ready:
            await asyncio.sleep(0.001)
        client.writer.close()
        while api_bed.extensions._askers:
            await asyncio.sleep(0.001)
    api_bed.extensions.invoke({"id": "one", "arn": "arn:f"}, 123)
    again = await api_bed.connect()
    status, body = await answered(again, "GET", "event/next", b"", me(identifier))
    assert (status, body["requestId"]) == (200, "one")


async def test_paths_and_methods_there_are_not(api_bed: Bed):
    client = await api_bed.connect()
    assert (await client.call("GET", f"{API}/register"))[0] == 405
    assert (await client.call("POST", f"{API}/other"))[0] == 404
    large = b'{"events":[]}' + b" " * 100_000
    assert (await client.call("POST", f"{API}/register", large, NAMED))[0] == 413


async def test_telemetry_where_there_is_none(api_bed: Bed):
    client = await api_bed.connect()
    known = me(await register(client))
    for path, kind in (("2022-07-01/telemetry", "Telemetry"), ("2020-08-15/logs", "Logs")):
        for identifier, wanted in (
            (known, (202, f"{kind}.NotSupported")),
            (me(UNKNOWN), (403, "Extension.UnknownExtensionIdentifier")),
        ):
            status, body = await client.call(
                "PUT", f"/{path}", b"{}", "Content-Length: 2", identifier
            )
            assert (status, json.loads(body)["errorType"]) == wanted
