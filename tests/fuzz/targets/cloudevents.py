"""CloudEvents and keys in them: headers, an empty line, the body."""

import json

from router.ingress.cloudevents import EVENTS_MAX, NotAnEvent, events_of
from router.ingress.keys import KEY_CHARACTERS_MAX, BodyUnreadable, parse_keys

KEYS = [
    parse_keys(text)
    for text in (
        "$.subject",
        "$.data.items[1].id",
        "form.From",
        "header.X-Key",
        "cloudevent.subject",
        ("cloudevent.source", "cloudevent.id"),
    )
]


def one_input(data):
    top, _, body = data.partition(b"\n\n")
    headers = {}
    for line in top.decode("latin-1").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip(" \t")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = None
    try:
        parts, is_batch = events_of(headers, body, text)
    except NotAnEvent as error:
        assert error.status in {400, 413, 415}
        return
    assert len(parts) <= EVENTS_MAX
    assert is_batch or len(parts) == 1
    for part in parts:
        for key in KEYS:
            try:
                found = key.read(part.headers, part.text)
            except BodyUnreadable:
                continue
            assert found is None or 1 <= len(found) <= KEY_CHARACTERS_MAX
    if is_batch:
        for part in parts:
            event = json.loads(part.body)
            assert event["specversion"] == "1.0"
            assert event["id"]
            assert event["source"]
            assert event["type"]
