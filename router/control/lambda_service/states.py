"""The states a function passes through: Pending → Active, InProgress → Successful.

Work is done before the answer is sent, so what is stored is always the final state; the states
before it are shown for a moment, because clients wait for the change and fail without it
(`functions-and-invocation.md` 4.2). After a restart everything is final.
"""

import asyncio
from typing import Final

import msgspec

TRANSITION_S: Final = 0.05
"""How long a function is shown as on its way."""


class Transition(msgspec.Struct, frozen=True):
    """A function on its way; `revision` is the one shown until it has arrived."""

    is_new: bool
    revision: str
    done: asyncio.Event


class Transitions:
    """Which functions are on their way."""

    def __init__(self) -> None:
        self._running: dict[str, Transition] = {}

    def begin(self, name: str, revision: str, *, is_new: bool) -> Transition:
        """Show a function as created or updated just now."""
        self.end(name)
        transition = Transition(is_new, revision, asyncio.Event())
        self._running[name] = transition
        asyncio.get_running_loop().call_later(TRANSITION_S, self._arrive, name, transition)
        return transition

    def of(self, name: str) -> Transition | None:
        """The function's transition; None when it has arrived."""
        return self._running.get(name)

    async def settled(self, name: str) -> None:
        """Wait until the function has arrived: `TRANSITION_S` at most.

        AWS answers 409 in this time; a wait this short is kinder and no client can tell.
        """
        transition = self._running.get(name)
        if transition is not None:
            await transition.done.wait()

    def end(self, name: str) -> None:
        """Arrive at once: the function is gone or changes again."""
        transition = self._running.pop(name, None)
        if transition is not None:
            transition.done.set()

    def _arrive(self, name: str, transition: Transition) -> None:
        if self._running.get(name) is transition:
            self.end(name)
