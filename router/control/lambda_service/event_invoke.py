"""Event-invoke configs: how versions and aliases are invoked when nobody waits.

`functions-and-invocation.md` 5.1, 5.4. A config belongs to one qualifier and is not copied when a
version is published.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from router.control.context import Context
from router.control.errors import ApiError
from router.control.lambda_service.names import (
    FunctionRef,
    invalid,
    not_found,
    parse_ref,
)
from router.functions.resolve import FunctionResolver
from router.model.arn import function_arn
from router.model.destination import Destination, is_invocation_destination, parse_destination
from router.model.errors import NotFound
from router.model.event_invoke import EventInvoke
from router.model.version import LATEST
from router.store.base import Delete
from router.store.catalog import Catalog, own_name, put

Params = dict[str, Any]

PAGE_MAX: Final = 50
"""Most configs of one answer (Lambda quota)."""

NOTHING_SET: Final = "You must specify at least one of error handling or destination setting."
MISSING: Final = "The function doesn't exist."
ITSELF: Final = "You can't specify the function as a destination for itself."


class EventInvokes:
    """One method per operation of the model."""

    def __init__(
        self, catalog: Catalog, functions: FunctionResolver, wall_ms: Callable[[], int]
    ) -> None:
        self._catalog = catalog
        self._functions = functions
        self._wall_ms = wall_ms

    async def put_function_event_invoke_config(self, context: Context, params: Params) -> Params:
        """PutFunctionEventInvokeConfig: replaces the whole config."""
        ref = _ref(context, params)
        _require_setting(params)
        wish = self._wish(ref, params, None)
        async with self._catalog.changing():
            self._require(ref)
            return await self._keep(ref, wish)

    async def update_function_event_invoke_config(self, context: Context, params: Params) -> Params:
        """UpdateFunctionEventInvokeConfig: what is not given stays as it is."""
        ref = _ref(context, params)
        _require_setting(params)
        async with self._catalog.changing():
            if ref.name not in self._catalog.functions:
                raise not_found(MISSING)
            before = self._find(ref)
            return await self._keep(ref, self._wish(ref, params, before))

    async def get_function_event_invoke_config(self, context: Context, params: Params) -> Params:
        """GetFunctionEventInvokeConfig."""
        ref = _ref(context, params)
        return _shown(ref, self._find(ref))

    async def delete_function_event_invoke_config(self, context: Context, params: Params) -> None:
        """DeleteFunctionEventInvokeConfig."""
        ref = _ref(context, params)
        async with self._catalog.changing():
            config = self._find(ref)
            await self._catalog.commit_locked([Delete("event_invoke", config.name)])

    async def list_function_event_invoke_configs(self, context: Context, params: Params) -> Params:
        """ListFunctionEventInvokeConfigs: by qualifier."""
        ref = parse_ref(context, params["FunctionName"])
        if ref.name not in self._catalog.functions:
            raise not_found(MISSING)
        after, page = params.get("Marker") or "", int(params.get("MaxItems") or PAGE_MAX)
        found = sorted(
            (
                config
                for config in self._catalog.event_invokes.values()
                if config.function == ref.name and config.qualifier > after
            ),
            key=lambda config: config.qualifier,
        )
        answer: Params = {
            "FunctionEventInvokeConfigs": [_shown(ref, config) for config in found[:page]]
        }
        if len(found) > page:
            answer["NextMarker"] = found[page - 1].qualifier
        return answer

    def _find(self, ref: FunctionRef) -> EventInvoke:
        qualifier = ref.qualifier or LATEST
        config = self._catalog.event_invokes.get(own_name(ref.name, qualifier))
        if config is None:
            arn = ref.arn(qualifier)
            raise not_found(f"The function {arn} doesn't have an EventInvokeConfig")
        return config

    def _require(self, ref: FunctionRef) -> None:
        """The function and its version or alias are there."""
        try:
            self._functions.get(ref.name, ref.qualifier)
        except NotFound:
            raise not_found(MISSING) from None

    async def _keep(self, ref: FunctionRef, config: EventInvoke) -> Params:
        await self._catalog.commit_locked([put("event_invoke", config.name, config)])
        return _shown(ref, config)

    def _wish(self, ref: FunctionRef, params: Params, before: EventInvoke | None) -> EventInvoke:
        config = before or EventInvoke(
            function=ref.name, qualifier=ref.qualifier or LATEST, last_modified_ms=0
        )
        changes: dict[str, Any] = {"last_modified_ms": self._wall_ms()}
        if (retries := params.get("MaximumRetryAttempts")) is not None:
            changes["retries_max"] = retries
        if (age_s := params.get("MaximumEventAgeInSeconds")) is not None:
            changes["age_s_max"] = age_s
        if (destinations := params.get("DestinationConfig")) is not None:
            changes |= self._destinations(ref, destinations)
        return msgspec.structs.replace(config, **changes)

    def _destinations(self, ref: FunctionRef, config: Params) -> dict[str, str | None]:
        """Each that is given; an empty text takes one away."""
        changes: dict[str, str | None] = {}
        for member, name in (("OnSuccess", "on_success"), ("OnFailure", "on_failure")):
            given = config.get(member)
            if given is None:
                continue
            text = given.get("Destination")
            if text:
                if not is_invocation_destination(text, is_failure=member == "OnFailure"):
                    raise _bad_config(config)
                self._check_function(ref, parse_destination(text))
            if text is not None:
                changes[name] = text or None
        return changes

    def _check_function(self, ref: FunctionRef, destination: Destination) -> None:
        if destination.kind != "function":
            return
        if (destination.region, destination.account) != (ref.region, ref.account):
            raise invalid(f"The destination ARN {destination.text} is invalid.")
        if destination.name == ref.name:
            raise invalid(ITSELF)
        try:
            self._functions.get(destination.name, destination.qualifier)
        except NotFound:
            raise invalid(f"The destination ARN {destination.text} is invalid.") from None


def _require_setting(params: Params) -> None:
    settings = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")
    if all(params.get(name) is None for name in settings):
        raise invalid(NOTHING_SET)


def _ref(context: Context, params: Params) -> FunctionRef:
    return parse_ref(context, params["FunctionName"], params.get("Qualifier"))


def _shown(ref: FunctionRef, config: EventInvoke) -> Params:
    shown: Params = {
        "LastModified": config.last_modified_ms / 1000,
        "FunctionArn": function_arn(ref.region, ref.account, config.function, config.qualifier),
        "DestinationConfig": {
            "OnSuccess": _destination(config.on_success),
            "OnFailure": _destination(config.on_failure),
        },
    }
    if config.retries_max is not None:
        shown["MaximumRetryAttempts"] = config.retries_max
    if config.age_s_max is not None:
        shown["MaximumEventAgeInSeconds"] = config.age_s_max
    return shown


def _destination(arn: str | None) -> Params:
    return {} if arn is None else {"Destination": arn}


def _bad_config(config: Params) -> ApiError:
    """As the service prints the object it was given."""
    said = []
    for member, name in (("OnSuccess", "onSuccess"), ("OnFailure", "onFailure")):
        given = config.get(member)
        text = "null" if given is None else f"{member}(destination={given.get('Destination')})"
        said.append(f"{name}={text}")
    return invalid(
        f"The provided destination config DestinationConfig({', '.join(said)}) is invalid."
    )
