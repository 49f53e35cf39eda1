"""The Extensions API of one environment: which call gets which answer, and who gets which event.

No I/O: connections ask by `Asker`, the environment hears by `Owner`.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
import orjson

from router.workers.extensions import states
from router.workers.extensions.states import Extension, Refused, Registry
from router.workers.extensions.subscriptions import Invalid
from router.workers.extensions.telemetry import Telemetry
from router.workers.runtime_api import answers
from router.workers.runtime_api.answers import Event
from router.workers.runtime_api.requests import Request

API: Final = "/2020-01-01/extension/"

TELEMETRY: Final = "/2022-07-01/telemetry"
LOGS: Final = "/2020-08-15/logs"

NAME_HEADER: Final = "lambda-extension-name"
IDENTIFIER_HEADER: Final = "lambda-extension-identifier"
FEATURES_HEADER: Final = "lambda-extension-accept-feature"
TYPE_HEADER: Final = "lambda-extension-function-error-type"

NAME_CHARACTERS_MAX: Final = 256
"""Of an internal extension; file names are no longer."""

TYPE_CHARACTERS_MAX: Final = 256
"""Kept of what an extension calls its error."""

CRASH: Final = "Extension.Crash"
LAUNCH_FAILED: Final = "Extension.LaunchError"


class Asker(Protocol):
    """Who waits for an event: a connection."""

    def give(self, event: Event) -> None:
        """Send it the event."""


class Owner(Protocol):
    """Who is told: the environment."""

    def on_registered(self) -> None:
        """Every external extension has registered: the runtime may start."""

    def on_settled(self) -> None:
        """Every extension waits for an event."""

    def telemetry_for_subscription(self) -> Telemetry | None:
        """Where to subscribe; None where telemetry cannot reach an extension."""


class Facts(msgspec.Struct, frozen=True):
    """What an extension is told of its function."""

    name: str
    version: str
    handler: str
    account_id: str


class Extensions:
    """All extensions of one environment."""

    def __init__(self, owner: Owner, facts: Facts, external: tuple[str, ...] = ()) -> None:
        """`external`: names of what was found in `/opt/extensions`, to be launched."""
        self._owner = owner
        self._facts = facts
        self.registry = Registry()
        self._askers: dict[str, Asker] = {}
        """Identifier → the connection its `next` waits on."""
        self._waiting: dict[str, Event] = {}
        """Identifier → an event that came while its connection was gone."""
        self._error_type = ""
        self._last: dict[str, Any] = {}
        """The event of the environment's end, once it has begun."""
        for name in external[: states.EXTENSIONS_MAX]:
            self.registry.expect(name, str(uuid.uuid4()))
        self._calls: Mapping[tuple[str, str], Callable[[Request, Asker], bytes | None]] = {
            ("POST", f"{API}register"): self._register,
            ("GET", f"{API}event/next"): self._next,
            ("POST", f"{API}init/error"): self._init_error,
            ("POST", f"{API}exit/error"): self._exit_error,
            ("PUT", TELEMETRY): self._telemetry,
            ("PUT", LOGS): self._logs,
        }

    @property
    def has_any(self) -> bool:
        """Whether there is one at all."""
        return bool(self.registry.all)

    @property
    def are_ready(self) -> bool:
        """Whether none of them is busy."""
        return not self.registry.all or self.registry.are_ready

    def error_type(self, usual: str) -> str:
        """What the end of one of them is called: what was said first of an error, else `usual`."""
        return self._error_type or usual

    def call(self, request: Request, asker: Asker) -> bytes | None:
        """The answer to a call; None when it comes later, by `asker`."""
        head = request.head
        found = self._calls.get((head.method, head.path))
        if found is None:
            is_known = any(path == head.path for _, path in self._calls)
            return answers.NOT_ALLOWED if is_known else answers.NOT_FOUND
        if request.is_too_large:
            return answers.TOO_LARGE
        try:
            return found(request, asker)
        except Refused as error:
            return answers.refusal(403, error.error_type, str(error))

    def forget(self, asker: Asker) -> None:
        """A connection is gone. The event its extension waits for is kept until it asks again."""
        for identifier in [key for key, one in self._askers.items() if one is asker]:
            del self._askers[identifier]

    def invoke(self, header: Mapping[str, Any], deadline_ms: int) -> None:
        """An invocation begins; members of `header` as in an INVOKE frame, times are epoch."""
        wanting = self.registry.wanting(states.INVOKE)
        if not wanting:
            return
        body: dict[str, Any] = {
            "eventType": states.INVOKE,
            "deadlineMs": deadline_ms,
            "requestId": header["id"],
            "invokedFunctionArn": header["arn"],
        }
        if header.get("trace"):
            body["tracing"] = {"type": "X-Amzn-Trace-Id", "value": header["trace"]}
        self._hand_out(wanting, body)

    def shut_down(self, reason: str, deadline_ms: int) -> None:
        """The environment ends: those that have registered for it are told."""
        self._last = {
            "eventType": states.SHUTDOWN,
            "deadlineMs": deadline_ms,
            "shutdownReason": reason,
        }
        self._hand_out(self.registry.wanting(states.SHUTDOWN), self._last)

    # The calls.

    def _register(self, request: Request, _asker: Asker) -> bytes:
        headers = request.head.headers
        name = headers.get(NAME_HEADER, "")
        if not name:
            raise Refused("Extension.InvalidExtensionName", "Empty extension name")
        if len(name) > NAME_CHARACTERS_MAX:
            raise Refused(
                "Extension.InvalidExtensionName",
                f"The extension name has more than {NAME_CHARACTERS_MAX} characters",
            )
        events = _events(request.body)
        before = self.registry.are_registered
        extension = self.registry.register(name, events, str(uuid.uuid4()))
        facts = self._facts
        body = {
            "functionName": facts.name,
            "functionVersion": facts.version,
            "handler": facts.handler,
        }
        features = headers.get(FEATURES_HEADER, "").split(",")
        if "accountId" in (feature.strip() for feature in features):
            body = {"accountId": facts.account_id, **body}
        if not before and self.registry.are_registered:
            self._owner.on_registered()
        line = f"Lambda-Extension-Identifier: {extension.identifier}\r\n"
        return answers.answer(200, orjson.dumps(body), headers=line)

    def _next(self, request: Request, asker: Asker) -> bytes | None:
        identifier = _identifier(request)
        extension = self.registry.find(identifier)
        if extension is None:
            raise _unknown(f"Unknown extension {identifier}")
        is_alone = identifier not in self._askers
        waiting = self._waiting.pop(identifier, None)
        if waiting is not None:
            asker.give(waiting)
            return None
        if extension.state != states.READY or not is_alone:
            extension.ask()
        self._askers[identifier] = asker
        if self._last and states.SHUTDOWN in extension.events:
            self._hand_out([extension], self._last)
        elif self.are_ready:
            self._owner.on_settled()
        return None

    def _init_error(self, request: Request, _asker: Asker) -> bytes:
        extension, error_type = self._reporting(request)
        extension.fail_init(error_type)
        self._error_type = self._error_type or "Extension.InitError"
        return answers.ACCEPTED

    def _exit_error(self, request: Request, _asker: Asker) -> bytes:
        extension, error_type = self._reporting(request)
        extension.fail_exit(error_type)
        self._error_type = self._error_type or "Extension.ExitError"
        return answers.ACCEPTED

    def _telemetry(self, request: Request, _asker: Asker) -> bytes:
        return self._subscribe("Telemetry", request)

    def _logs(self, request: Request, _asker: Asker) -> bytes:
        return self._subscribe("Logs", request)

    def _subscribe(self, api: str, request: Request) -> bytes:
        identifier = _identifier(request)
        extension = self.registry.find(identifier)
        if extension is None:
            raise _unknown(f"Unknown extension {identifier}")
        telemetry = self._owner.telemetry_for_subscription()
        if telemetry is None:
            return answers.refusal(202, f"{api}.NotSupported", f"{api} API is not supported")
        try:
            telemetry.subscribe(api, extension, request.body)
        except Invalid as error:
            return answers.refusal(400, "ValidationError", str(error))
        return answers.answer(200, b'"OK"')

    def _reporting(self, request: Request) -> tuple[Extension, str]:
        identifier = _identifier(request)
        error_type = request.head.headers.get(TYPE_HEADER, "")[:TYPE_CHARACTERS_MAX]
        if not error_type:
            raise Refused(
                "Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found"
            )
        extension = self.registry.find(identifier)
        if extension is None:
            raise _unknown("Unknown Lambda-Extension-Identifier")
        return extension, error_type

    def _hand_out(self, extensions: list[Extension], body: Mapping[str, Any]) -> None:
        payload = orjson.dumps(body)
        for extension in extensions:
            event = answers.extension_event(payload, str(uuid.uuid4()))
            extension.hand_out()
            asker = self._askers.pop(extension.identifier, None)
            if asker is None:
                self._waiting[extension.identifier] = event
            else:
                asker.give(event)


def _identifier(request: Request) -> str:
    text = request.head.headers.get(IDENTIFIER_HEADER, "")
    if not text:
        raise Refused(
            "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header"
        )
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise Refused(
            "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier"
        ) from None


def _unknown(text: str) -> Refused:
    return Refused("Extension.UnknownExtensionIdentifier", text)


def _events(body: bytes) -> list[str]:
    """What the body of a registration asks for. Raises `Refused`."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _malformed(str(error) if body else "unexpected end of JSON input") from None
    if not isinstance(document, dict):
        raise _malformed("the body is not a JSON object")
    if document.get("configurationKeys"):
        raise _malformed("configurationKeys are deprecated; use environment variables instead")
    events = document.get("events") or []
    if not isinstance(events, list) or not all(isinstance(event, str) for event in events):
        raise _malformed("events is not a list of strings")
    return events


def _malformed(text: str) -> Refused:
    return Refused("InvalidRequestFormat", text)
