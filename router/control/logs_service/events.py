"""FilterLogEvents, GetLogEvents and DescribeLogStreams.

Every answer holds all that was written before it was asked for: with a client that goes on from the
newest event it has seen, as `aws logs tail --follow` does, no line is lost.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from router.control.context import Context
from router.control.logs_service import tokens
from router.control.logs_service.lookup import (
    Group,
    Lookup,
    Params,
    group_arn,
    invalid,
    no_stream,
)
from router.patterns.log_filter import parse
from router.patterns.problems import PatternError
from router.workers.log_reader import LogReader, StreamFacts
from router.workers.log_scan import Found, Mark, Query

EVENTS_MAX: Final = 10_000
"""Events of one page (CloudWatch Logs quota)."""

STREAMS_MAX: Final = 50
"""Streams of one page."""

FOREVER_MS: Final = 1 << 60


class Settles(Protocol):
    """Writes function logs."""

    async def settle(self) -> int:
        """See to it that every line of up to now is in its file; now, in epoch milliseconds."""


class Events:
    """One method per operation of the model, which has checked types and ranges."""

    def __init__(self, lookup: Lookup, reader: LogReader, writer: Settles) -> None:
        self._lookup = lookup
        self._reader = reader
        self._writer = writer

    async def filter_log_events(self, context: Context, params: Params) -> Params:
        """FilterLogEvents: events of all streams, or of some, oldest first."""
        group = await self._lookup.one(context, params)
        query = Query(
            since_ms=params.get("startTime", 0),
            until_ms=params.get("endTime", FOREVER_MS) + 1,
            settled_ms=await self._writer.settle(),
            has_stream=_streams(params),
            matches=_pattern(params.get("filterPattern", "")),
        )
        marks: dict[str, Mark] = {}
        if "nextToken" in params:
            _, marks = tokens.decode(params["nextToken"], "p")
        page = await asyncio.to_thread(
            self._reader.page,
            group.paths,
            self._kept(group, query),
            marks,
            params.get("limit", EVENTS_MAX),
        )
        events = [
            {**_shown(found), "logStreamName": found.stream, "eventId": found.id}
            for found in page.events
        ]
        answer: Params = {"events": events, "searchedLogStreams": []}
        if not page.is_last:
            answer["nextToken"] = tokens.encode("p", page.marks)
        return answer

    async def get_log_events(self, context: Context, params: Params) -> Params:
        """GetLogEvents: one stream, from its end backwards unless asked otherwise."""
        group = await self._lookup.one(context, params)
        settled_ms = await self._writer.settle()
        name = params["logStreamName"]
        found = (await asyncio.to_thread(self._reader.streams, group.paths)).get(name)
        if found is None:
            raise no_stream()
        path, facts = found
        since_ms = max(params.get("startTime", 0), facts.first_ms)
        query = Query(
            since_ms=since_ms,
            until_ms=min(params.get("endTime", FOREVER_MS), facts.last_ms + 1),
            settled_ms=settled_ms,
            has_stream=lambda stream: stream == name,
        )
        query = self._kept(group, query)
        limit = params.get("limit", EVENTS_MAX)
        kind = "f" if params.get("startFromHead") else "b"
        marks: dict[str, Mark] = {}
        if "nextToken" in params:
            kind, marks = tokens.decode(params["nextToken"], "fb")
        mark = next(iter(marks.values()), None)
        if kind == "f":
            page = await asyncio.to_thread(self._reader.page, [path], query, marks, limit)
            events = page.events
        else:
            events = await asyncio.to_thread(self._reader.last, path, query, mark, limit)
        key = self._reader.key(path)
        first = events[0].mark if events else mark
        last = events[-1].end if events else mark
        return {
            "events": [_shown(event) for event in events],
            "nextForwardToken": tokens.encode("f", {} if last is None else {key: last}),
            "nextBackwardToken": tokens.encode("b", {} if first is None else {key: first}),
        }

    async def describe_log_streams(self, context: Context, params: Params) -> Params:
        """DescribeLogStreams: by name, or by the time of the last event."""
        group = await self._lookup.one(context, params)
        await self._writer.settle()
        prefix = params.get("logStreamNamePrefix", "")
        is_by_time = params.get("orderBy") == "LastEventTime"
        if is_by_time and prefix:
            raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
        all_of_it = await asyncio.to_thread(self._reader.streams, group.paths)
        oldest_ms = group.oldest_ms(self._lookup.wall_ms())
        streams = [
            facts
            for _path, facts in all_of_it.values()
            if facts.name.startswith(prefix) and facts.last_ms >= oldest_ms
        ]
        streams.sort(
            key=lambda facts: (facts.last_ms, facts.name) if is_by_time else (0, facts.name),
            reverse=params.get("descending", False),
        )
        start = 0
        if "nextToken" in params:
            _, marks = tokens.decode(params["nextToken"], "s")
            start = marks.get("", ("", 0))[1]
        end = start + params.get("limit", STREAMS_MAX)
        arn = group_arn(context, group.facts.name)
        answer: Params = {"logStreams": [_stream(facts, arn) for facts in streams[start:end]]}
        if end < len(streams):
            answer["nextToken"] = tokens.encode("s", {"": ("", end)})
        return answer

    def _kept(self, group: Group, query: Query) -> Query:
        """The query without what the group's retention has ended."""
        oldest_ms = group.oldest_ms(self._lookup.wall_ms())
        return Query(
            since_ms=max(query.since_ms, oldest_ms),
            until_ms=query.until_ms,
            settled_ms=query.settled_ms,
            has_stream=query.has_stream,
            matches=query.matches,
        )


def _streams(params: Params) -> Callable[[str], bool]:
    names, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix")
    if names and prefix:
        raise invalid("logStreamNames and logStreamNamePrefix cannot be given together.")
    if names:
        return frozenset(names).__contains__
    return lambda name: name.startswith(prefix or "")


def _pattern(text: str) -> Callable[[str], bool]:
    try:
        return parse(text)
    except PatternError as error:
        raise invalid(f"Invalid filter pattern: {error}") from None


def _shown(found: Found) -> dict[str, Any]:
    """An event: lines end as the platform ends them, a traceback does not."""
    is_traceback = "\n" in found.text
    return {
        "timestamp": found.time_ms,
        "ingestionTime": found.time_ms,
        "message": found.text if is_traceback else f"{found.text}\n",
    }


def _stream(facts: StreamFacts, group: str) -> dict[str, Any]:
    return {
        "logStreamName": facts.name,
        "creationTime": facts.first_ms,
        "firstEventTimestamp": facts.first_ms,
        "lastEventTimestamp": facts.last_ms,
        "lastIngestionTime": facts.last_ms,
        "arn": f"{group}:log-stream:{facts.name}",
        "storedBytes": 0,
    }
