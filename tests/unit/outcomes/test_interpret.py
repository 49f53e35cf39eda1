"""What a reply means: `event-source-mappings.md` 4.2."""

import msgspec
import pytest

from router.model.outcome import Failed, PartlySucceeded, Succeeded
from router.outcomes.interpret import INVALID_RESPONSE, interpret
from tests.unit.mapping.play import record, spec_of

REPORTING = spec_of(is_reporting_failures=True)
BATCH = [record(9), record(10), record(11)]


def listing(*identifiers) -> bytes:
    items = [{"itemIdentifier": identifier} for identifier in identifiers]
    return msgspec.json.encode({"batchItemFailures": items})


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b'""',
        b"[]",
        b" [ ] ",
        b"null",
        b"null\n",
        b"{}",
        b"{ }",
        b'{"batchItemFailures": []}',
        b'{"batchItemFailures":[]}',
        b'{"batchItemFailures": null}',
        b'{"statusCode": 200}',
        b'{"x": NaN}',
        b'{"x": "\\ud800", "batchItemFailures": []}',
        b'{"x": ' + b"9" * 5_000 + b"}",
    ],
)
def test_p12_success(reply):
    assert interpret(reply, None, REPORTING, BATCH) == Succeeded()


@pytest.mark.parametrize(
    "reply",
    [
        listing(123),
        listing(10),
        listing(""),
        listing(None),
        listing(["10"]),
        listing("12"),
        listing("010"),
        listing(" 10"),
        listing("10", "12"),
        listing("10", None),
        b'{"batchItemFailures": [{"foo": 1}]}',
        b'{"batchItemFailures": [{}]}',
        b'{"batchItemFailures": ["10"]}',
        b'{"batchItemFailures": [null]}',
        b'{"batchItemFailures": {}}',
        b'{"batchItemFailures": ""}',
        b'{"batchItemFailures": 0}',
        b'"done"',
        b"0",
        b"false",
        b"true",
        b"1.5",
        b"NaN",
        b"[0]",
        b"[[]]",
        b"not JSON",
        b"{",
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_p11_p12_total_failure_by_the_response(reply):
    outcome = interpret(reply, None, REPORTING, BATCH)
    assert outcome is INVALID_RESPONSE
    assert outcome.is_invalid_response


def test_p13_the_lowest_number_counts_not_the_lowest_text():
    assert interpret(listing("10", "9"), None, REPORTING, BATCH) == PartlySucceeded((0, 1))
    assert interpret(listing("11", "10"), None, REPORTING, BATCH) == PartlySucceeded((1, 2))


def test_d9_a_record_listed_twice_failed_once():
    assert interpret(listing("10", "10"), None, REPORTING, BATCH) == PartlySucceeded((1,))


def test_reports_beside_what_only_a_lenient_reader_takes():
    reply = b'{"seen": NaN, "batchItemFailures": [{"itemIdentifier": "10"}]}'
    assert interpret(reply, None, REPORTING, BATCH) == PartlySucceeded((1,))


def test_p31_without_the_setting_the_reply_is_not_looked_at():
    for reply in (listing("10"), listing(None), b"not JSON"):
        assert interpret(reply, None, spec_of(), BATCH) == Succeeded()


@pytest.mark.parametrize("is_reporting", [True, False])
def test_a_function_error_fails_whatever_the_reply_says(is_reporting):
    spec = spec_of(is_reporting_failures=is_reporting)
    assert interpret(b"{}", "Runtime.ExitError", spec, BATCH) == Failed("Runtime.ExitError")


def test_identifiers_as_a_list_or_from_a_function():
    reply = listing("b")
    assert interpret(reply, None, REPORTING, BATCH, ["a", "b", "c"]) == PartlySucceeded((1,))
    names = {9: "a", 10: "b", 11: "c"}
    outcome = interpret(reply, None, REPORTING, BATCH, lambda found: names[found.position])
    assert outcome == PartlySucceeded((1,))
