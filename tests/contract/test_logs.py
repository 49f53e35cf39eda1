"""CloudWatch Logs as its clients read it, on files that are rotated while they do."""

import time

import pytest

from router.workers.log_files import LogStream
from tests.contract.support import ClientError

LAMBDA = "/aws/lambda/"


@pytest.fixture
def write(harness):
    """Write lines as an environment does: `write(stream, "text", …)`."""

    def write(stream, *texts, at_ms=None):
        now_ms = time.time_ns() // 1_000_000 if at_ms is None else at_ms

        async def append():
            lines = [(now_ms, text) for text in texts]
            harness.logs.append(stream, lines, sum(map(len, texts)), at_once=True)

        harness.run(append())
        return now_ms

    return write


@pytest.fixture
def stream(name):
    return LogStream(name, f"2026/11/22/[$LATEST]{name}")


@pytest.fixture
def name(request):
    return f"logs-{request.node.name.partition('[')[0][-40:]}"


def events(aws, **params):
    """All pages of FilterLogEvents."""
    found = []
    while True:
        answer = aws("logs", "filter_log_events", **params)
        found += answer["events"]
        if "nextToken" not in answer:
            return found
        params["nextToken"] = answer["nextToken"]


def texts(found):
    return [event["message"].removesuffix("\n") for event in found]


def test_events_by_time_stream_and_pattern(aws, write, stream, name):
    other = LogStream(name, f"2026/11/22/[7]{name}")
    start = write(stream, "START RequestId: 1", at_ms=1_790_000_000_000)
    write(other, "[ERROR] ValueError: no\rTraceback\r  at", at_ms=start + 1)
    write(stream, "ERROR expected", at_ms=start + 2)
    write(stream, '{"level": "ERROR", "ms": 7}', at_ms=start + 3)
    group = LAMBDA + name
    found = events(aws, logGroupName=group)
    assert [event["timestamp"] for event in found] == [start + n for n in range(4)]
    assert found[0] == {
        "logStreamName": stream.name,
        "timestamp": start,
        "ingestionTime": start,
        "message": "START RequestId: 1\n",
        "eventId": found[0]["eventId"],
    }
    assert found[1]["message"] == "[ERROR] ValueError: no\nTraceback\n  at"
    assert len({event["eventId"] for event in found}) == 4
    assert all(len(event["eventId"]) == 56 and event["eventId"].isdigit() for event in found)
    between = {"startTime": start + 1, "endTime": start + 2}
    assert texts(events(aws, logGroupName=group, **between))[1] == "ERROR expected"
    assert len(events(aws, logGroupName=group, **between)) == 2
    assert len(events(aws, logGroupName=group, logStreamNames=[other.name])) == 1
    assert len(events(aws, logGroupName=group, logStreamNamePrefix="2026/11/22/[$")) == 3
    arn = f"arn:aws:logs:us-east-1:000000000000:log-group:{group}"
    assert len(events(aws, logGroupIdentifier=arn, filterPattern="ERROR -expected")) == 2
    assert len(events(aws, logGroupIdentifier=group, filterPattern="{$.ms > 6}")) == 1
    assert len(events(aws, logGroupName=group, filterPattern="?START ?expected", limit=1)) == 2


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"logGroupName": "/aws/lambda/nobody"}, "ResourceNotFoundException"),
        ({}, "InvalidParameterException"),
        ({"logGroupName": "a", "logGroupIdentifier": "b"}, "InvalidParameterException"),
        ({"logGroupName": "a" * 600}, "ValidationException"),
    ],
)
def test_what_cannot_be_filtered(aws, params, code):
    with pytest.raises(ClientError) as info:
        aws("logs", "filter_log_events", validates=False, **params)
    assert info.value.code == code


@pytest.mark.parametrize(
    "params",
    [
        {"filterPattern": "[a, b]"},
        {"filterPattern": "%x%"},
        {"nextToken": "p/!"},
        {"nextToken": "q/e30="},
        {"logStreamNames": ["a"], "logStreamNamePrefix": "b"},
    ],
)
def test_parameters_that_are_refused(aws, write, stream, name, params):
    write(stream, "x")
    with pytest.raises(ClientError) as info:
        aws("logs", "filter_log_events", logGroupName=LAMBDA + name, **params)
    assert info.value.code == "InvalidParameterException"


def test_pages_through_many_files_hold_each_event_once(aws, write, stream, name):
    start = time.time_ns() // 1_000_000 - 1_000  # all of it is past when it is asked for
    for number in range(240):
        write(stream, f"line {number:04d} {'x' * 100}", at_ms=start + number // 3)
    found = events(aws, logGroupName=LAMBDA + name, limit=37)
    assert [text[:9] for text in texts(found)] == [f"line {n:04d}" for n in range(240)]


def test_one_that_follows_misses_and_repeats_nothing(aws, write, name):
    """As `aws logs tail --follow` does: from the newest time seen, without known event ids."""
    streams = [LogStream(name, f"2026/11/22/[1]{n}", f"/shop/{name}") for n in range(2)]
    streams.append(LogStream(f"{name}-2", "2026/11/22/[1]c", f"/shop/{name}"))
    for stream in streams:
        write(stream, "first")
    seen, known, newest, written = [], set(), 0, 3
    for step in range(25):
        for number in range(30):
            write(streams[number % 3], f"{step}.{number} {'x' * 60}")
            written += 1
        params = {"logGroupName": f"/shop/{name}", "startTime": newest, "limit": 50}
        for event in events(aws, **params):
            if event["eventId"] not in known:
                known.add(event["eventId"])
                seen.append(event)
            newest = max(newest, event["timestamp"])
    found = texts(seen)
    assert len(found) == len(set(known)) == written
    assert len({text for text in found if text != "first"}) == written - 3


def test_one_stream_forwards_and_backwards(aws, write, name):
    start = 1_790_000_000_000
    group = f"/back/{name}"
    stream = LogStream(name, f"2026/11/22/{name}[3]a", group)
    for number in range(300):
        write(stream, f"{number}", at_ms=start + number)
    write(LogStream(name, "other", group), "not this", at_ms=start)
    one = {"logGroupName": group, "logStreamName": stream.name, "limit": 100}
    answer = aws("logs", "get_log_events", **one)
    assert texts(answer["events"]) == [str(n) for n in range(200, 300)]
    answer = aws("logs", "get_log_events", **one, nextToken=answer["nextBackwardToken"])
    assert texts(answer["events"]) == [str(n) for n in range(100, 200)]
    answer = aws("logs", "get_log_events", **one, nextToken=answer["nextForwardToken"])
    assert texts(answer["events"]) == [str(n) for n in range(200, 300)]
    end = aws("logs", "get_log_events", **one, nextToken=answer["nextForwardToken"])
    assert end["events"] == []
    assert end["nextForwardToken"] == answer["nextForwardToken"]
    write(stream, "more", at_ms=start + 400)
    answer = aws("logs", "get_log_events", **one, nextToken=end["nextForwardToken"])
    assert texts(answer["events"]) == ["more"]
    answer = aws("logs", "get_log_events", **one, startFromHead=True, startTime=start + 5)
    assert texts(answer["events"])[0] == "5"
    with pytest.raises(ClientError, match="log stream does not exist"):
        aws("logs", "get_log_events", **{**one, "logStreamName": "nope"})


def test_streams_of_a_group(aws, write, name):
    start = 1_790_000_000_000
    for number in range(4):
        write(LogStream(name, f"2026/09/2{number}/[1]x"), "a", at_ms=start + 10 - number)
    group = {"logGroupName": LAMBDA + name}
    first = aws("logs", "describe_log_streams", **group, limit=3)
    rest = aws("logs", "describe_log_streams", **group, nextToken=first["nextToken"])
    named = first["logStreams"] + rest["logStreams"]
    assert [one["logStreamName"][8:10] for one in named] == ["20", "21", "22", "23"]
    assert named[0]["firstEventTimestamp"] == named[0]["lastEventTimestamp"] == start + 10
    by_time = {"orderBy": "LastEventTime", "descending": True}
    newest = aws("logs", "describe_log_streams", **group, **by_time, limit=1)["logStreams"][0]
    assert newest == named[0]
    write(LogStream(name, "2026/09/23/[1]x"), "b", at_ms=start + 99)
    newest = aws("logs", "describe_log_streams", **group, **by_time, limit=1)["logStreams"][0]
    assert newest["logStreamName"] == "2026/09/23/[1]x"
    assert newest["lastEventTimestamp"] == start + 99


def test_a_group_as_terraform_makes_and_removes_it(aws, name):
    group = f"/made/{name}"
    aws("logs", "create_log_group", logGroupName=group, tags={"a": "1"})
    with pytest.raises(ClientError) as info:
        aws("logs", "create_log_group", logGroupName=group)
    assert info.value.code == "ResourceAlreadyExistsException"
    aws("logs", "put_retention_policy", logGroupName=group, retentionInDays=7)
    (shown,) = aws("logs", "describe_log_groups", logGroupNamePrefix=group)["logGroups"]
    arn = f"arn:aws:logs:us-east-1:000000000000:log-group:{group}"
    assert shown["retentionInDays"] == 7
    assert (shown["arn"], shown["logGroupArn"]) == (f"{arn}:*", arn)
    assert aws("logs", "filter_log_events", logGroupName=group)["events"] == []
    aws("logs", "tag_resource", resourceArn=arn, tags={"b": "2"})
    aws("logs", "untag_resource", resourceArn=arn, tagKeys=["a"])
    assert aws("logs", "list_tags_for_resource", resourceArn=arn)["tags"] == {"b": "2"}
    assert aws("logs", "list_tags_log_group", logGroupName=group)["tags"] == {"b": "2"}
    aws("logs", "delete_retention_policy", logGroupName=group)
    with pytest.raises(ClientError, match="6 is not one of"):
        aws("logs", "put_retention_policy", logGroupName=group, retentionInDays=6)
    aws("logs", "delete_log_group", logGroupName=group)
    assert aws("logs", "describe_log_groups", logGroupNamePrefix=group)["logGroups"] == []
    with pytest.raises(ClientError) as info:
        aws("logs", "delete_log_group", logGroupName=group)
    assert info.value.code == "ResourceNotFoundException"


def test_a_written_group_is_there_and_gone_with_its_lines(aws, write, stream, name):
    group = LAMBDA + name
    write(stream, "before")
    (shown,) = aws("logs", "describe_log_groups", logGroupNamePattern=name)["logGroups"]
    assert shown["storedBytes"] > 0
    assert abs(shown["creationTime"] - time.time() * 1000) < 600_000
    aws("logs", "delete_log_group", logGroupName=group)
    with pytest.raises(ClientError, match="log group does not exist"):
        events(aws, logGroupName=group)
    write(stream, "after")
    assert texts(events(aws, logGroupName=group)) == ["after"]


def test_retention_hides_what_is_older(aws, write, stream, name):
    group = LAMBDA + name
    write(stream, "old", at_ms=time.time_ns() // 1_000_000 - 25 * 3_600_000)
    write(stream, "new")
    assert texts(events(aws, logGroupName=group)) == ["old", "new"]
    aws("logs", "put_retention_policy", logGroupName=group, retentionInDays=1)
    assert texts(events(aws, logGroupName=group)) == ["new"]


def test_what_is_not_there_is_refused_by_name(aws):
    event = {"timestamp": 1, "message": "x"}
    with pytest.raises(ClientError, match="logs PutLogEvents is not supported") as info:
        aws("logs", "put_log_events", logGroupName="a", logStreamName="b", logEvents=[event])
    assert info.value.status == 501


def test_the_aws_cli_reads_logs(cli, write, stream, name):
    write(stream, "one", "two")
    group = ("--log-group-name", LAMBDA + name)
    assert texts(cli("logs", "filter-log-events", *group)["events"]) == ["one", "two"]
    named = cli("logs", "describe-log-streams", *group)["logStreams"]
    assert [one["logStreamName"] for one in named] == [stream.name]
