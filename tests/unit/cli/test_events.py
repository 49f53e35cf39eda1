"""`router events`: every sample is a document, takes its options and refuses others."""

import base64
import gzip
import json

import pytest
from click.testing import CliRunner

from router.cli.events import events
from router.cli.samples import SAMPLES, options_of

ALL = [(service, name) for service, samples in SAMPLES.items() for name in samples]


def generate(*words, status=0):
    done = CliRunner().invoke(events, ["generate", *words])
    assert done.exit_code == status, done.output
    return json.loads(done.stdout) if status == 0 else done.output


@pytest.mark.parametrize(("service", "name"), ALL)
def test_every_sample_takes_each_of_its_options(service, name):
    plain = generate(service, name)
    assert isinstance(plain, dict)
    assert generate(service, name) == plain, "the same each time"
    for option, default in options_of(SAMPLES[service][name]).items():
        other = str(default + 1) if isinstance(default, int | float) else "quite-another"
        changed = generate(service, name, f"--{option.replace('_', '-')}", other)
        assert changed != plain, option


def test_the_list_names_every_sample():
    shown = CliRunner().invoke(events, ["list"]).stdout
    assert all(f"{service} {name}: " in shown for service, name in ALL)
    listed = json.loads(CliRunner().invoke(events, ["list", "--json"]).stdout)
    assert [(row["service"], row["event"]) for row in listed] == ALL
    assert listed[0]["options"] == {"method": "GET", "path": "/", "body": ""}


def test_values_are_written_as_the_service_writes_them():
    record = generate("s3", "put", "--key", "a b/ö.jpg", "--size=7")["Records"][0]
    assert record["s3"]["object"]["key"] == "a+b/%C3%B6.jpg"
    assert record["s3"]["object"]["size"] == 7
    assert generate("eventbridge", "--key", "a b")["detail"]["object"]["key"] == "a b"
    data = generate("cloudwatch", "logs", "--message", "gone")["awslogs"]["data"]
    inner = json.loads(gzip.decompress(base64.b64decode(data)))
    assert inner["logEvents"][0]["message"] == "gone"
    message = generate("sqs", "receive-message", "--body", "abc")["Records"][0]
    assert message["md5OfBody"] == "900150983cd24fb0d6963f7d28e17f72"
    assert "MessageGroupId" not in message["attributes"]
    assert "size" not in generate("s3", "delete")["Records"][0]["s3"]["object"]
    assert (
        "OldImage" not in generate("dynamodb", "--event-name", "INSERT")["Records"][0]["dynamodb"]
    )
    update = generate("cloudformation", "--request-type", "Update")
    assert {"PhysicalResourceId", "OldResourceProperties"} <= set(update)
    assert "response" in generate("cloudfront", "viewer-response")["Records"][0]["cf"]


def test_members_can_be_set():
    event = generate(
        "sqs", "receive-message", "--set", "Records.0.body=hi", "--set", 'Records.0.new={"a": [1]}'
    )
    assert event["Records"][0]["body"] == "hi"
    assert event["Records"][0]["new"] == {"a": [1]}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nothing",), "no service 'nothing'"),
        (("s3",), "it has: delete, put, test"),
        (("s3", "get"), "no event 'get'"),
        (("s3", "put", "--colour", "red"), "unknown option '--colour'; there are: --bucket"),
        (("s3", "put", "--key"), "--key needs a value"),
        (("s3", "put", "--size", "big"), "--size is a number"),
        (("s3", "put", "--set", "a"), "PATH=VALUE"),
        (("s3", "put", "--set", "Records.7.x=1"), "no such place"),
        (("s3", "put", "--set", "Records.x.y=1"), "no such place"),
        (("s3", "put", "--set", "Records.0.eventName.x=1"), "no such place"),
    ],
)
def test_what_is_unknown_is_refused(words, text):
    assert text in generate(*words, status=2)
