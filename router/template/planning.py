"""Works out a plan: the desired state against the catalog.

What was made through the API or belongs to another stack is never touched. Nothing that holds
records is removed without being told to (`design.md` 7a).
"""

import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import msgspec

from router.functions.dependents import removal, removal_of_version
from router.model import limits
from router.model.concurrency import Provisioned
from router.model.event_invoke import EventInvoke
from router.model.function_url import FunctionUrl
from router.model.hosting import BARE, Hosting
from router.model.layer import Layer, LayerVersion
from router.model.log_group import LogGroup
from router.model.resources import Function, Mapping, Queue, Stack, Webhook
from router.model.shard import cut_anew
from router.model.version import Alias
from router.model.webhook import WebhookSpec
from router.store.base import (
    Change,
    CutStream,
    Delete,
    DropProgress,
    DropQueue,
    DropStream,
    RequireEmptyQueue,
    RequireEmptyStream,
)
from router.store.catalog import Catalog, put
from router.template.after import After
from router.template.desired import Desired, DesiredState
from router.template.differences import Difference, differences
from router.template.numbering import Numbering
from router.template.plan import Action, Plan, PlannedChange

Holds = Callable[[str, str], Awaitable[int]]
"""How many records a resource holds, by kind (`webhook`, `queue`) and name."""

DELETE_ORDER: Final = (
    "mapping",
    "function_url",
    "provisioned",
    "event_invoke",
    "permission",
    "alias",
    "version",
    "function",
    "layer_version",
    "webhook",
    "queue",
    "log_group",
)
"""What reads goes before what is read."""

_DATA_LOSS: Final = "say --allow-data-loss to lose them"


class Planning:
    """One plan in the making."""

    def __init__(
        self,
        catalog: Catalog,
        desired: DesiredState,
        holds: Holds,
        wall_ms: int,
        *,
        may_lose: bool,
        hosting: Hosting = BARE,
        numbering: Numbering,
    ) -> None:
        self._numbering = numbering
        self._catalog = catalog
        self._desired = desired
        self._holds = holds
        self._wall_ms = wall_ms
        self._may_lose = may_lose
        self._hosting = hosting
        self._known: dict[str, dict[str, Any]] = {
            "function": catalog.functions,
            "version": catalog.versions,
            "alias": catalog.aliases,
            "permission": catalog.permissions,
            "provisioned": catalog.provisioned,
            "function_url": catalog.function_urls,
            "layer_version": catalog.layer_versions,
            "event_invoke": catalog.event_invokes,
            "mapping": catalog.mappings,
            "queue": catalog.queues,
            "webhook": catalog.webhooks,
            "log_group": catalog.log_groups,
        }
        self._outputs: dict[str, str] = {}
        self._planned: list[PlannedChange] = []
        self._changes: list[Change] = []

    async def run(self, wishes: list[tuple[str, str, Desired]]) -> Plan:
        """`wishes` are (kind, name, resource), each after what it needs."""
        wishes = await self._numbering.run(wishes)
        self._outputs = {
            name: self._numbering.numbered_text(text)
            for name, text in self._desired.outputs.items()
        }
        wanted = {(kind, name) for kind, name, _ in wishes}
        removed = list(self._removed(wanted))
        after = After(self._catalog, wishes, removed, self._hosting)
        for kind, name, resource in wishes:
            await self._plan_one(kind, name, resource, after)
        for kind, name, logical_id in removed:
            await self._plan_removal(kind, name, logical_id, after)
        self._keep_stack(wishes)
        is_refused = any(change.refusal for change in self._planned)
        return Plan(
            stack=self._desired.stack,
            changes=tuple(self._planned),
            outputs=self._outputs,
            warnings=self._desired.warnings,
            catalog_changes=() if is_refused else tuple(self._changes),
        )

    def _removed(self, wanted: set[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
        """(kind, name, logical id) of what the stack made and the template has no more."""
        for kind in DELETE_ORDER:
            for name, resource in self._known[kind].items():
                if self._is_ours(resource) and (kind, name) not in wanted:
                    yield kind, name, resource.owner.logical_id

    def _is_ours(self, resource: Any) -> bool:
        return resource.owner is not None and resource.owner.stack == self._desired.stack

    async def _plan_one(self, kind: str, name: str, wish: Desired, after: After) -> None:
        before = self._known[kind].get(name)
        logical_id = wish.owner.logical_id if wish.owner else ""
        if before is not None and not self._is_ours(before):
            owner = before.owner
            whose = f"belongs to stack {owner.stack}" if owner else "was made through the API"
            self._note("keep", kind, name, logical_id, refusal=f"{kind} {name} exists and {whose}")
            return
        refusal = after.problem(wish) or self._early_start(before, wish)
        if before is None:
            self._note("create", kind, name, logical_id, refusal=refusal)
            self._changes.append(put(kind, name, self._stamped(wish, None)))
            if isinstance(wish, LayerVersion):
                counting = Layer(name=wish.name, last_number=wish.number)
                self._changes.append(put("layer", wish.name, counting))
            return
        wish = self._settled(before, wish)
        if _same(before, wish):
            self._note("keep", kind, name, logical_id, refusal=refusal)
            return
        action, reason, extra, doubt = self._weigh(before, wish)
        found = differences(before, wish)
        self._note(action, kind, name, logical_id, found, reason, refusal or doubt)
        self._changes += [*extra, put(kind, name, self._stamped(wish, before))]

    def _note(
        self,
        action: Action,
        kind: str,
        name: str,
        logical_id: str,
        found: tuple[Difference, ...] = (),
        reason: str = "",
        refusal: str | None = None,
    ) -> None:
        self._planned.append(
            PlannedChange(
                action=action,
                kind=kind,
                name=name,
                logical_id=logical_id,
                differences=found,
                reason=reason,
                refusal=refusal,
            )
        )

    def _settled(self, before: Any, wish: Desired) -> Desired:
        """The wish with what no template says: a mapping's switch, a stream's lineage, versions."""
        if isinstance(wish, Mapping) and wish.uuid in self._desired.enabled_unset:
            return msgspec.structs.replace(wish, is_enabled=before.is_enabled)
        if isinstance(wish, Webhook):
            lineage = before.spec.lineage
            if wish.spec.shards != before.spec.shards:
                lineage = cut_anew(before.spec.stream_shards, wish.spec.shards)
            spec = msgspec.structs.replace(wish.spec, lineage=lineage)
            return msgspec.structs.replace(wish, spec=spec)
        if isinstance(wish, Function):
            is_unset = wish.name in self._desired.loops_unset
            wish = msgspec.structs.replace(
                wish,
                last_version=max(wish.last_version, before.last_version),
                recursive_loop=before.recursive_loop if is_unset else wish.recursive_loop,
                runtime_management={**before.runtime_management, **wish.runtime_management},
            )
        if isinstance(wish, Function) and wish.code_hash == before.code_hash:
            wish = msgspec.structs.replace(wish, code_sha256=before.code_sha256)
            if not before.is_in_place or before.code_path == self._folder_of(wish):
                # The same code, snapshot or in place where it still is: no change.
                return msgspec.structs.replace(
                    wish, code_path=before.code_path, is_in_place=before.is_in_place
                )
        return wish

    def _folder_of(self, function: Function) -> str:
        """The folder that the template names for a function's code."""
        return next(it.code_path for it in self._desired.functions if it.name == function.name)

    def _early_start(self, before: Any, wish: Desired) -> str | None:
        """Refuse a mapping that would begin at a time to come, as the API does."""
        if not isinstance(wish, Mapping) or (wish.starting_timestamp_ms or 0) <= self._wall_ms:
            return None
        if before is not None and _source(before) == _source(wish):
            return None  # it has begun, and says no more than it did
        return "StartingPositionTimestamp cannot be in the future"

    def _weigh(self, before: Any, wish: Desired) -> tuple[Action, str, list[Change], str | None]:
        """How a change is made: action, reason, what goes with it, and why it must not be."""
        match wish:
            case Mapping() if _source(wish) != _source(before):
                reason = "another source: it starts there anew"
                return "replace", reason, [DropProgress(wish.uuid)], None
            case Mapping() if _start(wish) != _start(before):
                return "update", "a starting position counts only for a new mapping", [], None
            case Webhook() if wish.spec.shards != before.spec.shards:
                return _weigh_shards(before.spec, wish.spec)
        return "update", "", [], None

    async def _plan_removal(self, kind: str, name: str, logical_id: str, after: After) -> None:
        reason, refusal = "no longer in the template", None
        if kind == "version" and (alias := after.alias_of(name)):
            self._note("keep", kind, name, logical_id, reason=f"alias {alias} leads to it")
            return
        if kind in ("webhook", "queue"):
            refusal = after.reader_of(kind, name)
            records = await self._holds(kind, name)
            if records and not self._may_lose:
                refusal = f"it holds {records} records: put it back, empty it, or {_DATA_LOSS}"
            elif records:
                reason = f"{reason}; {records} records are lost"
        self._note("delete", kind, name, logical_id, reason=reason, refusal=refusal)
        match kind:
            case "function":
                self._changes += removal(self._catalog, name)
            case "version" | "alias":
                self._changes += removal_of_version(self._catalog, *name.split(":"))
            case _:
                self._changes.append(Delete(kind, name))
        match kind:
            case "mapping":
                self._changes.append(DropProgress(name))
            case "webhook":
                arn = self._catalog.webhooks[name].spec.arn
                self._changes += [*self._unless_told(RequireEmptyStream(arn)), DropStream(arn)]
            case "queue":
                self._changes += [*self._unless_told(RequireEmptyQueue(name)), DropQueue(name)]

    def _unless_told(self, guard: Change) -> tuple[Change, ...]:
        """What may not be lost may not come between the look and the commit either."""
        return () if self._may_lose else (guard,)

    def _stamped(self, wish: Desired, before: Any) -> Desired:
        """With times and a revision of now."""
        match wish:
            case Function():
                return msgspec.structs.replace(
                    wish, last_modified_ms=self._wall_ms, revision_id=str(uuid.uuid4())
                )
            case Alias():
                return msgspec.structs.replace(wish, revision_id=str(uuid.uuid4()))
            case LogGroup():
                created_ms = before.created_ms if before else self._wall_ms
                return msgspec.structs.replace(wish, created_ms=created_ms)
            case Provisioned() | EventInvoke():
                return msgspec.structs.replace(wish, last_modified_ms=self._wall_ms)
            case FunctionUrl():
                created_ms = before.created_ms if before else self._wall_ms
                return msgspec.structs.replace(
                    wish, created_ms=created_ms, modified_ms=self._wall_ms
                )
            case Mapping():
                created_ms = before.created_ms if before else self._wall_ms
                return msgspec.structs.replace(
                    wish, created_ms=created_ms, last_modified_ms=self._wall_ms
                )
            case Queue():
                now_s = self._wall_ms // 1000
                created_s = before.created_s if before else now_s
                return msgspec.structs.replace(wish, created_s=created_s, modified_s=now_s)
            case _:
                return wish

    def _keep_stack(self, wishes: list[tuple[str, str, Desired]]) -> None:
        members = {
            resource.owner.logical_id: (kind, name)
            for kind, name, resource in wishes
            if resource.owner
        }
        stack = Stack(
            name=self._desired.stack,
            members=members,
            outputs=self._outputs,
            applied_ms=self._wall_ms,
            template_path=self._desired.template_path,
        )
        before = self._catalog.stacks.get(stack.name)
        if before is not None and not self._changes:
            stack = msgspec.structs.replace(stack, applied_ms=before.applied_ms)
        if stack != before:
            self._changes.append(put("stack", stack.name, stack))


def _weigh_shards(
    before: WebhookSpec, wish: WebhookSpec
) -> tuple[Action, str, list[Change], str | None]:
    """The stream goes on in other shards; what the old ones hold is read before them."""
    was_open = {shard.name for shard in before.stream_shards if not shard.is_closed}
    opens = tuple(shard.name for shard in wish.stream_shards if not shard.is_closed)
    closes = tuple(shard.name for shard in wish.stream_shards if shard.name in was_open)
    closed = len(wish.stream_shards) - len(opens)
    reason = f"Shards {before.shards} → {wish.shards}: closes {len(closes)}, opens {len(opens)}"
    refusal = None
    if closed > limits.SHARDS_CLOSED_MAX:
        refusal = (
            f"there would be {closed} closed shards, at most {limits.SHARDS_CLOSED_MAX} may wait: "
            "each goes once every mapping has finished it and RetentionSeconds has passed. Keep "
            "Shards for now, shorten RetentionSeconds, or look for a mapping that is behind"
        )
    return "update", reason, [CutStream(before.arn, closes, opens)], refusal


def _same(before: Any, wish: Desired) -> bool:
    """Whether nothing differs but times and revisions."""
    own = {
        name: getattr(before, name)
        for name in (
            "last_modified_ms",
            "modified_ms",
            "revision_id",
            "created_ms",
            "created_s",
            "modified_s",
        )
        if hasattr(before, name)
    }
    return bool(msgspec.structs.replace(wish, **own) == before)


def _source(mapping: Mapping) -> tuple[object, ...]:
    """What says where a mapping's progress counts."""
    return (
        mapping.event_source_arn,
        mapping.bootstrap_servers,
        mapping.topics,
        mapping.consumer_group,
    )


def _start(mapping: Mapping) -> tuple[str, int | None]:
    return mapping.starting_position, mapping.starting_timestamp_ms
