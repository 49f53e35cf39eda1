"""Who wants to hear of a commit."""

import asyncio
from collections.abc import Callable, Hashable


class Wakes:
    """Call-backs by key, called in the loop."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, list[Callable[[], None]]] = {}

    def subscribe(self, key: Hashable, wake: Callable[[], None]) -> Callable[[], None]:
        """Add a call-back; returns what removes it, once."""
        self._by_key.setdefault(key, []).append(wake)
        is_subscribed = True

        def end() -> None:
            nonlocal is_subscribed
            if not is_subscribed:
                return
            is_subscribed = False
            wakes = self._by_key[key]
            wakes.remove(wake)
            if not wakes:
                del self._by_key[key]

        return end

    def wake(self, key: Hashable) -> None:
        """Call everyone. One that raises is reported to the loop and holds up nobody."""
        for wake in tuple(self._by_key.get(key, ())):
            try:
                wake()
            except Exception as error:  # noqa: BLE001 - a listener must not keep others waiting
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "a wake of the store failed", "exception": error}
                )
