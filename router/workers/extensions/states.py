"""What an extension may do next, and which extensions there are: Lambda's states and rules. Pure.

            register              next              an event
Started ─────────────► Registered ────► Ready ───────────────► Running ──► (next) Ready
                           │  init/error: InitError
                           └─ exit/error, from here on: ExitError

Who has called `next` is `Ready` and stays so while nothing comes that it has registered for.
"""

from collections.abc import Collection, Sequence
from typing import Final

EXTENSIONS_MAX: Final = 10
"""In one environment, internal ones among them (Lambda quota)."""

INVOKE: Final = "INVOKE"
SHUTDOWN: Final = "SHUTDOWN"

STARTED: Final = "Started"
REGISTERED: Final = "Registered"
READY: Final = "Ready"
RUNNING: Final = "Running"
INIT_ERROR: Final = "InitError"
EXIT_ERROR: Final = "ExitError"
EXITED: Final = "Exited"
LAUNCH_ERROR: Final = "LaunchError"
"""The names Lambda's own answers and log lines show."""

INVALID_STATE: Final = "Extension.InvalidExtensionState"


class Refused(Exception):
    """A call that is answered with 403: `error_type` and the text are Lambda's."""

    def __init__(self, error_type: str, text: str) -> None:
        super().__init__(text)
        self.error_type = error_type


class Extension:
    """One extension. A call that raises `Refused` has changed nothing."""

    def __init__(self, name: str, identifier: str, *, is_external: bool) -> None:
        self.name = name
        self.identifier = identifier
        self.is_external = is_external
        self.state = STARTED
        self.events: tuple[str, ...] = ()
        """What it has registered for."""
        self.error_type = ""
        """What it said its error was, or why it was not launched."""

    def register(self, events: Sequence[str]) -> None:
        """It registers."""
        if self.state != STARTED:
            raise self._refusal(REGISTERED, self.name)
        self.state = REGISTERED
        self.events = tuple(dict.fromkeys(events))

    def ask(self) -> None:
        """It asks for an event."""
        if self.state not in {REGISTERED, RUNNING}:
            raise self._refusal(READY, self.identifier)
        self.state = READY

    def hand_out(self) -> None:
        """It is given an event it has asked for."""
        self.state = RUNNING

    def fail_init(self, error_type: str) -> None:
        """It reports that it could not start; saying so again changes nothing."""
        if self.state not in {REGISTERED, INIT_ERROR}:
            raise self._refusal(INIT_ERROR, self.identifier)
        if self.state == REGISTERED:
            self.state, self.error_type = INIT_ERROR, error_type

    def fail_exit(self, error_type: str) -> None:
        """It reports that it is about to end; saying so again changes nothing."""
        if self.state not in {REGISTERED, READY, RUNNING, EXIT_ERROR}:
            raise self._refusal(EXITED, self.identifier)
        if self.state != EXIT_ERROR:
            self.state, self.error_type = EXIT_ERROR, error_type

    def fail_launch(self, error_type: str) -> None:
        """There is no such process."""
        self.state, self.error_type = LAUNCH_ERROR, error_type

    def _refusal(self, wanted: str, who: str) -> Refused:
        return Refused(
            INVALID_STATE,
            f"State transition from {self.state} to {wanted} failed for extension {who}. "
            "Error: State transition is not allowed",
        )


class Registry:
    """The extensions of one environment: the external ones from the start, internal ones later."""

    def __init__(self) -> None:
        self._is_open = True
        self.all: list[Extension] = []

    def expect(self, name: str, identifier: str) -> Extension:
        """An external extension is about to be launched."""
        extension = Extension(name, identifier, is_external=True)
        self.all.append(extension)
        return extension

    def close(self) -> None:
        """The runtime has started: nobody new registers any more."""
        self._is_open = False

    @property
    def external(self) -> list[Extension]:
        """Those with a process of their own."""
        return [one for one in self.all if one.is_external]

    @property
    def are_registered(self) -> bool:
        """Whether the runtime may be started."""
        return all(one.state != STARTED for one in self.all)

    @property
    def are_ready(self) -> bool:
        """Whether every one of them waits for an event."""
        return all(one.state == READY for one in self.all)

    def register(self, name: str, events: Sequence[str], identifier: str) -> Extension:
        """One registers; `identifier` is for an internal one that is new. Raises `Refused`."""
        external = self._named(name, self.external)
        if external is not None:
            _check(events, {INVOKE, SHUTDOWN})
            external.register(events)
            return external
        _check(events, {INVOKE})
        if not self._is_open:
            raise Refused("Extension.RegistrationClosed", "Extension registration closed already")
        if len(self.all) >= EXTENSIONS_MAX:
            raise Refused(
                "Extension.TooManyExtensions", f"Extension limit ({EXTENSIONS_MAX}) reached"
            )
        if self._named(name, self.all) is not None:
            raise Refused(INVALID_STATE, "Extension with this name already registered")
        internal = Extension(name, identifier, is_external=False)
        internal.register(events)
        self.all.append(internal)
        return internal

    def find(self, identifier: str) -> Extension | None:
        """The one with this identifier."""
        return next((one for one in self.all if one.identifier == identifier), None)

    def named(self, name: str) -> Extension | None:
        """The external one of this name."""
        return self._named(name, self.external)

    def wanting(self, event: str) -> list[Extension]:
        """Those that wait for an event of this kind."""
        return [one for one in self.all if event in one.events and one.state == READY]

    def _named(self, name: str, among: Sequence[Extension]) -> Extension | None:
        return next((one for one in among if one.name == name), None)


def _check(events: Sequence[str], allowed: Collection[str]) -> None:
    for event in events:
        if event not in allowed:
            is_known = event == SHUTDOWN
            reason = (
                "ShutdownEventNotSupportedForInternalExtension"
                if is_known
                else "ErrorInvalidEventType"
            )
            raise Refused("Extension.InvalidEventType", f"{event}: {reason}")
