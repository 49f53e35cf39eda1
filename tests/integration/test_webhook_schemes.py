"""Every snippet of `docs/webhooks.md` in one router: what senders sign reaches a function."""

import base64
import json
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
import yaml

from tests.integration.bed import HEAD, call, function, mapping, until
from tests.senders import digest_query, proof

TEXT = Path("docs/webhooks.md").read_text("utf-8")
SNIPPETS = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
KEY = base64.b64encode(b"0123456789abcdefghijklmnop").decode()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

RECORDING = """
import json
import os
import socket

HOST, PORT = os.environ["EAR"].rsplit(":", 1)
wire = socket.create_connection((HOST, int(PORT))).makefile("rwb")


def handler(event, context):
    for record in event["Records"]:
        wire.write(json.dumps({"what": "event", "record": record}).encode() + b"\\n")
        wire.flush()
        wire.readline()
"""


WEBHOOKS = {
    name: resource["Properties"]
    for snippet in SNIPPETS
    for name, resource in yaml.safe_load(snippet).items()
}


def scheme_of(name):
    return WEBHOOKS[name]["Signature"]["Scheme"]


def secret_of(name):
    is_prefixed = scheme_of(name) in {"standard-webhooks", "svix"}
    return ("whsec_" if is_prefixed else "") + KEY


def post(bed, name, body, *, form=False, **headers):
    given = WEBHOOKS[name]
    url = given["Signature"].get("PublicUrl", "")
    query = ""
    if url and not form:
        query = f"?{digest_query(body)}"
    made = proof(scheme_of(name), body, secret_of(name), url=url + query, form=form)
    return call(bed.addresses["ingress"], given["Path"] + query, body, {**made, **headers})


def heard(ear, name):
    """What the function got from one webhook."""
    return [
        facts["record"]
        for facts in list(ear.heard)
        if facts["record"]["eventSourceARN"].endswith(f"-{name}")
    ]


@pytest.fixture
def site(bed):
    bed.write(
        HEAD
        + "".join(SNIPPETS)
        + function()
        + "".join(
            mapping(f"{name}Feed", name, MaximumBatchingWindowInSeconds=0) for name in WEBHOOKS
        )
    )
    bed.code(RECORDING)
    for name in WEBHOOKS:
        reference = WEBHOOKS[name]["Signature"]["Secret"]
        variable = re.fullmatch(r"\{\{resolve:secretsmanager:(.*)\}\}", reference)[1]
        bed.environment[f"ROUTER_SECRET_{variable.upper()}"] = secret_of(name)
    bed.start()
    return bed


def test_every_sender_reaches_a_function_once(site, ear):
    """D1, D12: genuine posts arrive, a repetition does not, and what is not genuine is refused."""
    schemes = {scheme_of(name) for name in WEBHOOKS}
    assert schemes >= {"github", "stripe", "slack", "shopify", "twilio", "svix", "bearer"}
    for name in WEBHOOKS:
        if name == "Events":
            continue
        body = json.dumps({"id": f"evt_{name}", "event_id": "Ev1", "team_id": "T1"}).encode()
        insists = scheme_of(name) in {"slack", "shopify"}
        replies = [post(site, name, body) for _ in range(2)]
        assert [reply.status for reply in replies] == [200 if insists else 202] * 2, name
        assert replies[0].body == replies[1].body
        forged = call(site.addresses["ingress"], WEBHOOKS[name]["Path"], body)
        assert forged.status == 401
        until(lambda name=name: heard(ear, name), what=f"an event of {name}")
        (record,) = heard(ear, name)
        assert record["body"].encode() == body
        assert record["eventSource"] == "router:webhook"


def test_forms_and_handshakes(site, ear):
    body = urlencode({"MessageSid": "SM1", "Body": "hé"}).encode()
    assert b"<Response>" in post(site, "Twilio", body, form=True, **FORM).body
    until(lambda: heard(ear, "Twilio"), what="a message")
    (record,) = heard(ear, "Twilio")
    assert (record["body"], record["partitionKey"]) == (body.decode(), "SM1")
    challenge = json.dumps({"type": "url_verification", "challenge": "c"}).encode()
    answer = post(site, "Slack", challenge)
    assert (answer.status, answer.json) == (200, {"challenge": "c"})
    command = post(site, "Slack", b"command=%2Fgo", **FORM)
    assert (command.status, command.body) == (200, b"")
    until(lambda: heard(ear, "Slack"), what="a command")
    assert [record["body"] for record in heard(ear, "Slack")] == ["command=%2Fgo"]


def test_cloudevents_in_every_mode(site, ear):
    path = WEBHOOKS["Events"]["Path"]
    asked = call(
        site.addresses["ingress"],
        path,
        headers={"WebHook-Request-Origin": "eventgrid.azure.net", "WebHook-Request-Rate": "10"},
        method="OPTIONS",
    )
    assert asked.headers["webhook-allowed-origin"] == "eventgrid.azure.net"
    assert asked.headers["webhook-allowed-rate"] == "6000"
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "subject": "a"}
    binary = {f"ce-{name}": text for name, text in {**event, "id": "0"}.items()}
    binary["Content-Type"] = "application/octet-stream"
    assert post(site, "Events", b"\xff\x00", **binary).status == 202
    structured = {"Content-Type": "application/cloudevents+json"}
    assert post(site, "Events", json.dumps(event).encode(), **structured).status == 202
    many = [{**event, "id": str(n), "data": {"n": n}} for n in range(1, 101)]
    batched = {"Content-Type": "application/cloudevents-batch+json"}
    reply = post(site, "Events", json.dumps(many).encode(), **batched)
    assert (reply.status, len(reply.json["ids"])) == (202, 100)
    bad = post(site, "Events", json.dumps([*many, {**event, "id": ""}]).encode(), **batched)
    assert bad.status == 400
    until(lambda: len(heard(ear, "Events")) >= 101, what="every event")
    records = heard(ear, "Events")
    assert len(records) == 101
    assert base64.b64decode(records[0]["body"]) == b"\xff\x00"
    assert records[0]["headers"]["ce-id"] == "0"
    ids = [json.loads(record["body"])["id"] for record in records[1:]]
    assert ids == [str(n) for n in range(1, 101)]
    assert KEY not in json.dumps(records)
    assert KEY not in site.log.read_text()
