"""What a handler's reply says about the records of its batch (`event-source-mappings.md` 4)."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, Outcome, PartlySucceeded, Succeeded
from router.model.record import Record
from router.outcomes.window_state import MISSING_STATE, STATE_TOO_LARGE, state_of

INVALID_RESPONSE = Failed("InvalidBatchResponse", is_invalid_response=True)
"""The function answered, but with something the partial-response rules refuse (P11, P12)."""

SUCCESS_REPLIES: Final = frozenset({b"", b"null", b"{}", b'""', b"[]", b'{"batchItemFailures":[]}'})
"""What nearly every handler returns; known without parsing. An empty body counts as `""`."""

Identifiers = Callable[[Record], str] | Sequence[str]
"""The `itemIdentifier` of each record of the batch, or how to get it from a record."""


def sequence_number(record: Record) -> str:
    """The identifier of a webhook record: its `sequenceNumber`."""
    return str(record.position)


def as_text(identifier: Any) -> str | None:
    """An `itemIdentifier` that is text, as of all sources but Kafka."""
    return identifier if isinstance(identifier, str) else None


def interpret(
    reply_payload: bytes,
    error_type: str | None,
    spec: MappingSpec,
    records: Sequence[Record],
    identifiers: Identifiers = sequence_number,
    *,
    read: Callable[[Any], str | None] = as_text,
    state_bytes_max: int | None = None,
) -> Outcome:
    """What became of a batch whose invocation ran.

    `error_type` is that of a function error. Without `ReportBatchItemFailures` and without a
    window the reply is not even looked at (P31). `state_bytes_max` is the largest state that the
    event of a window can carry, None without a window; a window's reply must have a state (P30).
    `read` makes an `itemIdentifier` one of `identifiers`, None where it cannot be one.
    """
    if error_type is not None:
        return Failed(error_type)
    state: bytes | None = None
    if state_bytes_max is not None:
        if (state := state_of(reply_payload)) is None:
            return MISSING_STATE
        if len(state) > state_bytes_max:
            return STATE_TOO_LARGE
    if not spec.is_reporting_failures or reply_payload in SUCCESS_REPLIES:
        return Succeeded(state)
    try:
        reply = _parse(reply_payload)
        failures = _reported_failures(reply)
        if not failures:
            return Succeeded(state)
        return PartlySucceeded(_failed_indexes(failures, records, identifiers, read), state)
    except _InvalidResponseError:
        return INVALID_RESPONSE


class _InvalidResponseError(Exception):
    """The whole batch failed by its response."""


def _parse(payload: bytes) -> Any:
    """JSON as handlers produce it: also NaN, lone surrogates and numbers of any size."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        pass
    try:
        # No number matters here, so none may fail to parse because of its length.
        return json.loads(payload, parse_int=float)
    except (ValueError, RecursionError):
        raise _InvalidResponseError from None


def _reported_failures(reply: Any) -> list[Any]:
    if reply is None or reply in ("", []):
        return []
    if not isinstance(reply, dict):
        raise _InvalidResponseError
    failures = reply.get("batchItemFailures")
    if failures is None:
        return []
    if not isinstance(failures, list):
        raise _InvalidResponseError
    return failures


def _failed_indexes(
    failures: list[Any],
    records: Sequence[Record],
    identifiers: Identifiers,
    read: Callable[[Any], str | None],
) -> tuple[int, ...]:
    """Indexes in the batch, ascending: records come in order of their numbers (P13)."""
    names = map(identifiers, records) if callable(identifiers) else identifiers
    indexes = {name: index for index, name in enumerate(names)}
    failed: set[int] = set()
    for entry in failures:
        name = read(entry.get("itemIdentifier")) if isinstance(entry, dict) else None
        index = None if name is None else indexes.get(name)
        if index is None:
            raise _InvalidResponseError
        failed.add(index)
    return tuple(sorted(failed))
