"""What every resource type has in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from router.model.concurrency import Provisioned
from router.model.event_invoke import EventInvoke
from router.model.function_url import FunctionUrl
from router.model.log_group import LogGroup
from router.model.permission import Permission
from router.model.resources import Function, Mapping, Owner, Queue, Webhook
from router.model.version import Alias
from router.template.names import Surroundings, physical_name
from router.template.parameters import as_text
from router.template.problems import Problems
from router.template.properties import Properties


class InlineCode(msgspec.Struct, frozen=True):
    """Code written in the template itself, as one file."""

    file_name: str
    text: str


class NextVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version to be published of a function of the same template."""

    function: str
    description: str | None = None
    is_automatic: bool = False
    """Of `AutoPublishAlias`: published again whenever code or configuration has changed. Else
    once: it stays as it is as long as its logical id is in the template."""
    owner: Owner

    @property
    def token(self) -> str:
        """What stands for its number."""
        return version_token(self.owner.logical_id)


def version_token(logical_id: str) -> str:
    """What stands for the number of a version until the template is planned.

    It may be written wherever a qualifier may.
    """
    return f"version--{logical_id}--"


class NextLayer(msgspec.Struct, frozen=True, kw_only=True):
    """A version to be published of a layer, unless the newest one of it is the same."""

    name: str
    folder: str
    description: str = ""
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    licence: str = ""
    owner: Owner

    @property
    def token(self) -> str:
        """What stands for its number."""
        return layer_token(self.owner.logical_id)


def layer_token(logical_id: str) -> str:
    """What stands for the number of a layer's version until the template is planned."""
    return f"layer--{logical_id}--"


class Draft:
    """What the resources of a template add up to, while it is read."""

    def __init__(self, folder: Path, problems: Problems) -> None:
        """`folder` is the template's: relative code paths start there."""
        self.folder = folder
        self.problems = problems
        self.functions: dict[str, Function] = {}
        self.layers: dict[str, NextLayer] = {}
        """By logical id."""
        self.inline_code: dict[str, InlineCode] = {}
        """By function name."""
        self.versions: dict[str, NextVersion] = {}
        """By logical id."""
        self.permissions: dict[str, Permission] = {}
        """By logical id."""
        self.aliases: dict[str, Alias] = {}
        """By `own_name`."""
        self.provisioned: dict[str, Provisioned] = {}
        """By `own_name`."""
        self.urls: dict[str, FunctionUrl] = {}
        """By `own_name`."""
        self.event_invokes: dict[str, EventInvoke] = {}
        """By `own_name`."""
        self.mappings: dict[str, Mapping] = {}
        self.enabled_unset: list[str] = []
        self.loops_unset: list[str] = []
        """UUIDs of mappings whose `Enabled` is not given."""
        self.queues: dict[str, Queue] = {}
        self.webhooks: dict[str, Webhook] = {}
        self.log_groups: dict[str, LogGroup] = {}
        self.warnings: list[str] = []


class At:
    """One resource of the template: its id and what can be known of it before it is built."""

    def __init__(
        self, logical_id: str, surroundings: Surroundings, given: Callable[[str], Any]
    ) -> None:
        """`given` resolves one property; None when it is not given."""
        self.logical_id = logical_id
        self.surroundings = surroundings
        self.given = given

    @property
    def owner(self) -> Owner:
        """Who a resource made here belongs to."""
        return Owner(self.surroundings.stack, self.logical_id)

    def given_text(self, name: str) -> str:
        """One property as text; empty when it is not given or no text."""
        value = self.given(name)
        return "" if value is None or isinstance(value, dict | list) else as_text(value)

    def physical_name(self, name_property: str, length_max: int) -> str:
        """The name given by a property, else one made of stack and logical id."""
        made = physical_name(self.surroundings.stack, self.logical_id, length_max)
        return self.given_text(name_property) or made


class ResourceType(Protocol):
    """One type of resource: what refers to it gets, and what it adds to the draft."""

    @property
    def name(self) -> str:
        """As in `Type`."""

    @property
    def effect(self) -> str:
        """What accepting it does here; empty when the type is honoured."""

    def ref(self, at: At) -> str:
        """What `!Ref` gives."""

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """What `!GetAtt` gives, by attribute."""

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Check the properties and add the resource."""
