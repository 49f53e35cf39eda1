"""The Telemetry API of one environment: who has subscribed to what, and what they are sent (8.3).

From the environment's beginning until the end of its initialisation events are kept for those that
subscribe later; afterwards nobody new may, and where nobody has there is no `Telemetry` any more.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from router.workers.extensions import courier, subscriptions
from router.workers.extensions.courier import Courier, IsOwn
from router.workers.extensions.states import Extension, Refused
from router.workers.log_files import Line

KEPT_MAX: Final = 1_000
KEPT_BYTES_MAX: Final = 256 * 1024
"""Events of the initialisation kept for those that subscribe later."""

EVENTS_PER_S: Final = 10_000
"""Sent of one environment's lines; above that they are counted as dropped."""

Record = tuple[str, Mapping[str, Any]]
"""Kind, such as `start`, and content of an event of the platform."""


class Telemetry:
    """All subscriptions of one environment."""

    def __init__(self, is_own: IsOwn, on_subscribed: Callable[[str, Sequence[str]], None]) -> None:
        """`on_subscribed` hears of the extension and its types."""
        self._is_own = is_own
        self._on_subscribed = on_subscribed
        self._couriers: dict[str, Courier] = {}
        self._kept: list[tuple[str, bytes, bytes]] = []
        """Category, event, and the same for those that want JSON lines as such."""
        self._kept_bytes = 0
        self._is_open = True
        self._second = 0.0
        self._sent = 0

    @property
    def has_any(self) -> bool:
        """Whether anybody has subscribed."""
        return bool(self._couriers)

    def subscribe(self, api: str, extension: Extension, body: bytes) -> None:
        """Add or replace one. Raises `Refused` and `subscriptions.Invalid`."""
        if not self._is_open:
            raise Refused(f"{api}.SubscriptionClosed", f"{api} API subscription is closed")
        wish = subscriptions.parse(api, body)
        before = self._couriers.pop(extension.name, None)
        if before is not None:
            before.close()
        one = self._couriers[extension.name] = Courier(wish, self._is_own)
        for category, event, structured in self._kept:
            if category in wish.types:
                one.add(structured if wish.is_structured else event)
        record = {"name": extension.name, "state": "Subscribed", "types": list(wish.types)}
        self.platform(
            [("telemetrySubscription" if api == "Telemetry" else "logsSubscription", record)]
        )
        self._on_subscribed(extension.name, wish.types)

    def close_subscription(self) -> None:
        """The initialisation is over."""
        self._is_open = False
        self._kept.clear()

    def platform(self, records: Iterable[Record]) -> None:
        """What the platform says itself."""
        if not self._is_open and not self._couriers:
            return
        for kind, record in records:
            data = courier.event(f"platform.{kind}", record)
            self._give("platform", data, data)

    def lines(self, category: str, lines: Iterable[Line], *, is_json: bool) -> None:
        """What the function or an extension has written; `is_json`: such lines may be documents."""
        wanting = [one for one in self._couriers.values() if category in one.subscription.types]
        if not wanting and not self._is_open:
            return
        now = time.monotonic()
        if now - self._second >= 1.0:
            self._second, self._sent = now, 0
        for time_ms, text in lines:
            self._sent += 1
            if self._sent > EVENTS_PER_S or (
                wanting and not any(one.has_room() for one in wanting)
            ):
                for one in wanting:
                    one.drop(1, len(text))
                continue
            data = courier.event(category, text, time_ms)
            structured = data
            if is_json and (document := _document(text)) is not None:
                structured = courier.event(category, document, time_ms)
            self._give(category, data, structured)

    def flush(self) -> None:
        """The environment ends: what is there is sent at once."""
        for one in self._couriers.values():
            one.flush()

    def close(self) -> None:
        """It has ended."""
        for one in self._couriers.values():
            one.close()

    def _give(self, category: str, data: bytes, structured: bytes) -> None:
        if (
            self._is_open
            and len(self._kept) < KEPT_MAX
            and self._kept_bytes + len(data) <= KEPT_BYTES_MAX
        ):
            self._kept.append((category, data, structured))
            self._kept_bytes += len(data)
        for one in self._couriers.values():
            if category in one.subscription.types:
                one.add(structured if one.subscription.is_structured else data)


def _document(text: str) -> orjson.Fragment | None:
    """A line that is a JSON object, as it is: read and written again it might nest too deep."""
    if not text.startswith("{"):
        return None
    try:
        orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None
    return orjson.Fragment(text)
