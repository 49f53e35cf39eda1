"""The `state` in the reply of a tumbling window (contract, section 6)."""

import json
from typing import Any, Final

import msgspec

from router.model.outcome import Failed

MISSING_STATE: Final = Failed(
    "MissingWindowState",
    reason='the reply of a tumbling window must be a JSON object with an object "state"',
)
"""A function error like any other: it counts, and it bisects (P30)."""

STATE_TOO_LARGE: Final = Failed(
    "WindowStateTooLarge", reason='the "state" in the reply is too large for any event to carry'
)
"""A state over 1 MiB ends its window early; this one could not even be handed over for that."""


class _Reply(msgspec.Struct):
    state: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(_Reply).decode


def state_of(payload: bytes) -> bytes | None:
    """The JSON of a reply's `state`, byte for byte; None when there is no such object."""
    try:
        state = bytes(_decode(payload).state)
    except msgspec.ValidationError:
        return None  # JSON, but no object
    except (msgspec.DecodeError, RecursionError):
        return _lenient_state_of(payload)
    return state if state.startswith(b"{") and _is_utf8(state) else None


def _lenient_state_of(payload: bytes) -> bytes | None:
    """As handlers may produce it beside the state: NaN, half of a surrogate pair."""
    try:
        reply: Any = json.loads(payload)
        state = reply.get("state") if isinstance(reply, dict) else None
        return json.dumps(state, allow_nan=False).encode() if isinstance(state, dict) else None
    except (ValueError, RecursionError):
        return None


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
