"""The function: it sees the event JSON the router built, and answers what the options say."""

import json
import random
from collections.abc import Sequence
from datetime import datetime

import msgspec
import orjson

from router.model.errors import NotInvoked
from router.model.function import InvokeReply
from router.model.mapping_spec import MappingSpec
from router.model.window import InvokeWindow
from tests.simulation.heads import Kind, Verdict
from tests.simulation.options import Options


class Call(msgspec.Struct, frozen=True):
    """An event as the function reads it."""

    shard: str
    positions: tuple[int, ...]
    window: InvokeWindow | None = None


def read_event(payload: bytes) -> Call:
    """What a handler finds in its event."""
    event = orjson.loads(payload)
    records = event["Records"]
    positions = tuple(int(record["sequenceNumber"]) for record in records)
    if "window" not in event:
        return Call(records[0]["eventID"].partition(":")[0], positions)
    window = InvokeWindow(
        _moment(event["window"]["start"]),
        _moment(event["window"]["end"]),
        _json(event["state"]),
        event["isFinalInvokeForWindow"],
        event["isWindowTerminatedEarly"],
    )
    return Call(event["shardId"], positions, window)


def _moment(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


class Reply(msgspec.Struct, frozen=True):
    """What the function will do with one invocation."""

    after_ms: int
    payload: bytes = b"null"
    error_type: str | None = None
    reported: int | None = None
    """Lowest index it reports as failed."""
    is_refused: bool = False
    """The reply breaks the rules of partial responses."""
    state: bytes | None = None
    """Of the tumbling window."""

    def verdict(self, spec: MappingSpec, *, is_window: bool) -> Verdict:
        """What that means under these settings, told without reading the payload (D2, D9)."""
        if self.error_type is not None or (is_window and self.state is None):
            return Verdict(Kind.FAILED)
        if spec.is_reporting_failures:
            if self.is_refused:
                return Verdict(Kind.INVALID)
            if self.reported is not None:
                return Verdict(Kind.PARTLY, self.reported, self.state)
        return Verdict(Kind.FINISHED, state=self.state)

    @property
    def wire(self) -> InvokeReply:
        """As the environment sends it."""
        return InvokeReply(payload=self.payload, error_type=self.error_type)


class FakeFunction:
    """Succeeds, fails, hangs, dies or answers nonsense, as the options say."""

    def __init__(self, options: Options, rng: random.Random) -> None:
        self._options = options
        self._rng = rng
        self.poison: set[tuple[str, int]] = set()
        self.is_calm = False

    def may_not_run(self) -> None:
        """Raises `NotInvoked` as a pool or a dispatcher without room does."""
        if not self.is_calm and self._rng.random() * 100 < self._options.throttle_percent:
            raise NotInvoked(self._rng.choice(("throttled", "start_failed", "function_missing")))

    def reply(self, call: Call) -> Reply:
        """What it does with this batch."""
        reply = self._reply(call)
        if call.window is None or reply.error_type is not None:
            return reply
        if not self.is_calm and self._rng.random() * 100 < self._options.missing_state_percent:
            return reply
        return _with_state(reply, call)

    def _reply(self, call: Call) -> Reply:
        rng, options = self._rng, self._options
        if self.is_calm:
            return Reply(1)
        after_ms = rng.randint(0, options.latency_ms_max)
        if self.poison:
            for index, position in enumerate(call.positions):
                if (call.shard, position) in self.poison:
                    if position % 2:
                        return Reply(after_ms, _report([position]), reported=index)
                    return Reply(after_ms, error_type="ValueError")
        chance = rng.random() * 100
        for percent, make in (
            (options.error_percent, self._error),
            (options.timeout_percent, self._timeout),
            (options.malformed_percent, self._malformed),
            (options.partial_percent, self._partial),
            (options.invalid_partial_percent, self._invalid),
        ):
            if chance < percent and (call.positions or make is self._error):
                return make(after_ms, call.positions)
            chance -= percent
        return Reply(after_ms, rng.choice(_FINE))

    def _error(self, after_ms: int, _: Sequence[int]) -> Reply:
        kind = self._rng.choice(("ValueError", "Runtime.ExitError", "Runtime.OutOfMemory"))
        return Reply(after_ms, error_type=kind)

    def _timeout(self, _: int, __: Sequence[int]) -> Reply:
        return Reply(self._rng.choice((3_000, 15_000)), error_type="Sandbox.Timedout")

    def _malformed(self, after_ms: int, _: Sequence[int]) -> Reply:
        return Reply(after_ms, self._rng.choice(_MALFORMED), is_refused=True)

    def _partial(self, after_ms: int, positions: Sequence[int]) -> Reply:
        count = self._rng.randint(1, len(positions))
        size = count if self._rng.random() < 0.3 else 1
        failed = self._rng.sample(range(len(positions)), size)
        payload = _report([positions[index] for index in failed])
        return Reply(after_ms, payload, reported=min(failed))

    def _invalid(self, after_ms: int, positions: Sequence[int]) -> Reply:
        good = str(self._rng.choice(positions))
        wrong = self._rng.choice(
            (
                {"itemIdentifier": ""},
                {"itemIdentifier": None},
                {"itemIdentifier": positions[0]},
                {"itemIdentifier": str(positions[-1] + 1)},
                {"foo": 1},
            )
        )
        entries = [wrong] if self._rng.random() < 0.5 else [{"itemIdentifier": good}, wrong]
        return Reply(after_ms, _json({"batchItemFailures": entries}), is_refused=True)


def _with_state(reply: Reply, call: Call) -> Reply:
    """The reply with the window's state: all records the function has seen in it, in order."""
    assert call.window is not None
    if reply.is_refused and not reply.payload.startswith(b'{"batchItemFailures": ['):
        return reply  # nonsense of another kind: no state in it either
    seen = json.loads(call.window.state).get("seen", [])
    new = call.positions if reply.reported is None else call.positions[: reply.reported]
    state = _json({"seen": [*seen, *new]})
    before = reply.payload if reply.payload.startswith(b"{") else b"{}"
    comma = b"" if before == b"{}" else b", "
    payload = b'%b%b"state": %b}' % (before[:-1], comma, state)
    return msgspec.structs.replace(reply, payload=payload, state=state)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _report(positions: list[int]) -> bytes:
    return _json({"batchItemFailures": [{"itemIdentifier": str(p)} for p in positions]})


_FINE = (
    b"null",
    b'""',
    b"[]",
    b"{}",
    b'{"batchItemFailures": []}',
    b'{"batchItemFailures": null}',
    b'{"statusCode": 200}',
)
_MALFORMED = (b"not json", b'"done"', b"17", b"[1]", b"true", b'{"batchItemFailures": "all"}')
