"""A template as what shall exist: every resource typed, named and checked."""

from collections.abc import Iterator

import msgspec

from router.functions.permissions import permission_name
from router.model.concurrency import Provisioned
from router.model.event_invoke import EventInvoke
from router.model.function_url import FunctionUrl
from router.model.layer import LayerVersion, layer_key
from router.model.log_group import LogGroup
from router.model.permission import Permission
from router.model.resources import Function, Mapping, Queue, Webhook
from router.model.version import Alias, Version
from router.store.catalog import own_name
from router.template.resources.base import InlineCode, NextLayer, NextVersion

Desired = (
    Function
    | NextVersion
    | Version
    | Alias
    | Permission
    | Provisioned
    | NextLayer
    | LayerVersion
    | FunctionUrl
    | EventInvoke
    | Mapping
    | Queue
    | Webhook
    | LogGroup
)
"""One resource as it shall be; times, revision and code hash are filled in when it is applied."""


class DesiredState(msgspec.Struct, frozen=True, kw_only=True):
    """What one stack shall hold. Plain data: it crosses the wire as JSON."""

    stack: str
    template_path: str
    functions: tuple[Function, ...] = ()
    """`code_path` is the folder in the template's words; empty for inline code."""
    versions: tuple[NextVersion, ...] = ()
    aliases: tuple[Alias, ...] = ()
    permissions: tuple[Permission, ...] = ()
    layers: tuple[NextLayer, ...] = ()
    provisioned: tuple[Provisioned, ...] = ()
    """Of a version or an alias, of whose logical id each has one made."""
    urls: tuple[FunctionUrl, ...] = ()
    event_invokes: tuple[EventInvoke, ...] = ()
    mappings: tuple[Mapping, ...] = ()
    queues: tuple[Queue, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    log_groups: tuple[LogGroup, ...] = ()
    inline_code: dict[str, InlineCode] = {}
    """By function name."""
    enabled_unset: tuple[str, ...] = ()
    """UUIDs of mappings whose `Enabled` the template leaves to the operator."""
    loops_unset: tuple[str, ...] = ()
    """Functions whose `RecursiveLoop` the template leaves as it is."""
    order: tuple[str, ...] = ()
    """Logical ids, each after what it needs."""
    outputs: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    """What is accepted without effect or will probably not work."""

    def resources(self) -> Iterator[tuple[str, str, Desired]]:
        """(kind, name, resource) of each, after what it needs."""
        found: dict[str, list[tuple[str, str, Desired]]] = {}
        everything: tuple[tuple[str, tuple[Desired, ...]], ...] = (
            ("layer_version", self.layers),
            ("function", self.functions),
            ("version", self.versions),
            ("alias", self.aliases),
            ("permission", self.permissions),
            ("provisioned", self.provisioned),
            ("function_url", self.urls),
            ("event_invoke", self.event_invokes),
            ("queue", self.queues),
            ("webhook", self.webhooks),
            ("log_group", self.log_groups),
            ("mapping", self.mappings),
        )
        for kind, resources in everything:
            for resource in resources:
                if resource.owner is not None:
                    logical_id, _, _ = resource.owner.logical_id.partition(".")
                    found.setdefault(logical_id, []).append((kind, name_of(resource), resource))
        for logical_id in self.order:
            yield from found.get(logical_id, ())


def name_of(resource: Desired) -> str:
    """The catalog's key of a resource."""
    match resource:
        case Mapping():
            return resource.uuid
        case Webhook():
            return resource.spec.name
        case NextVersion():
            return own_name(resource.function, resource.token)
        case NextLayer():
            return f"{resource.name}:{resource.token}"
        case LayerVersion():
            return layer_key(resource.name, resource.number)
        case Version():
            return own_name(resource.function.name, str(resource.number))
        case FunctionUrl() | Provisioned() | EventInvoke():
            return own_name(resource.function, resource.qualifier)
        case Permission():
            return permission_name(resource)
        case Alias():
            return own_name(resource.function, resource.name)
        case _:
            return resource.name
