"""Tumbling windows: what is kept of one and what an invocation is told (contract, section 6).

`state` is the JSON object that the handler returned last, byte for byte.
"""

from typing import Final

import msgspec

EMPTY_STATE: Final = b"{}"
"""The state a window begins with."""

_FRAME_BYTES: Final = len(
    '{"Records":[],"window":{"start":"2026-03-02T10:14:00Z","end":"2026-03-02T10:16:00Z"},'
    '"state":,"shardId":"","eventSourceARN":"",'
    '"isFinalInvokeForWindow":false,"isWindowTerminatedEarly":false}'
)


def window_frame_bytes(shard: str, source_arn: str) -> int:
    """What the event of a window takes besides its records and its state; never too small.

    Neither a shard's name nor an ARN holds anything that JSON escapes.
    """
    return _FRAME_BYTES + len(shard) + len(source_arn)


class Window(msgspec.Struct, frozen=True):
    """The last window of a lane: open, or closed when `state` is None.

    Stored together with the lane's position, so that no record is in the state twice or missing
    from it. A closed one is kept: the next window never begins before its end. Bounds are wall
    time, epoch milliseconds; `end_ms` is the first millisecond after it.
    """

    start_ms: int
    end_ms: int
    state: bytes | None

    @property
    def is_open(self) -> bool:
        """Whether its final call is still to come."""
        return self.state is not None


class InvokeWindow(msgspec.Struct, frozen=True):
    """The window of one invocation. Final and terminated-early calls carry no records."""

    start_ms: int
    end_ms: int
    state: bytes
    is_final: bool = False
    is_terminated_early: bool = False

    @property
    def call(self) -> str:
        """What it is about: `records`, `final` or `terminated_early`."""
        if self.is_final:
            return "final"
        return "terminated_early" if self.is_terminated_early else "records"
