"""What the event of a tumbling window says after its records (contract, section 6).

The same for every source with windows. Pure.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import orjson

from router.model.window import InvokeWindow

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_TAIL: Final = (
    b'],"window":{"start":"%b","end":"%b"},"state":%b,"shardId":%b,"eventSourceARN":%b,'
    b'"isFinalInvokeForWindow":%b,"isWindowTerminatedEarly":%b}'
)


def window_tail(window: InvokeWindow, shard: str, source_arn: str) -> bytes:
    """From the end of `Records` to the end of the event; the state goes in as it came."""
    return _TAIL % (
        _moment(window.start_ms),
        _moment(window.end_ms),
        window.state,
        orjson.dumps(shard),
        orjson.dumps(source_arn),
        b"true" if window.is_final else b"false",
        b"true" if window.is_terminated_early else b"false",
    )


def _moment(wall_ms: int) -> bytes:
    """`2026-03-02T10:14:00Z`: bounds are whole seconds."""
    moment = _EPOCH + timedelta(milliseconds=wall_ms)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}Z".encode()
