"""What a runtime may do next: the states Lambda has for it, and which call leads where. Pure.

         next            next (an event)            response              next
Started ─────► Ready ───────────────────► Running ─────────► …Response ─────► Ready
   │ init/error                                      error    (its body)
   ▼                                                             │
InitError                                                        ▼
                                                      RuntimeResponseSentState
"""

from typing import Final

STARTED: Final = "Started"
INIT_ERROR: Final = "InitError"
READY: Final = "Ready"
RUNNING: Final = "Running"
RESPONSE: Final = "InvocationResponse"
ERROR_RESPONSE: Final = "InvocationErrorResponse"
RESPONSE_SENT: Final = "RuntimeResponseSentState"
"""The names Lambda's own answers show."""


class NotAllowed(Exception):
    """The call does not fit the state. The text is Lambda's."""

    def __init__(self, state: str, wanted: str) -> None:
        super().__init__(
            f"State transition from {state} to {wanted} failed for runtime. "
            "Error: State transition is not allowed"
        )


class UnknownId(Exception):
    """The id is not that of the invocation handed out last."""


class Runtime:
    """The state of one runtime. A call that raises has changed nothing."""

    def __init__(self) -> None:
        self.state = STARTED
        self.request_id = ""
        """Of the invocation handed out last; empty when the runtime has asked for more since."""

    def ask(self) -> bool:
        """It asks for an event; True when the one it has is to be given again.

        Raises `NotAllowed` after a failed initialisation and in the middle of an answer.
        """
        if self.state == RUNNING:
            return True
        if self.state not in {STARTED, READY, RESPONSE_SENT}:
            raise NotAllowed(self.state, READY)
        self.state = READY
        self.request_id = ""
        return False

    def hand_out(self, request_id: str) -> None:
        """It is given an event. Raises `NotAllowed` unless it has asked for one."""
        if self.state != READY:
            raise NotAllowed(self.state, RUNNING)
        self.state = RUNNING
        self.request_id = request_id

    def begin_answer(self, request_id: str, *, is_error: bool) -> None:
        """It begins to answer. Raises `UnknownId`, or `NotAllowed` for a second answer."""
        if not request_id or request_id != self.request_id:
            raise UnknownId
        wanted = ERROR_RESPONSE if is_error else RESPONSE
        if self.state != RUNNING:
            raise NotAllowed(self.state, wanted)
        self.state = wanted

    def end_answer(self) -> None:
        """Its answer is complete, or never will be."""
        self.state = RESPONSE_SENT

    def fail_init(self) -> None:
        """It reports that it could not start. Raises `NotAllowed` once it has."""
        if self.state != STARTED:
            raise NotAllowed(self.state, INIT_ERROR)
        self.state = INIT_ERROR
