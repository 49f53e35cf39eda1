"""What would exist once a plan is applied: references must lead to it."""

import json
from collections.abc import Sequence
from typing import Any

from router.embedded.attributes import check_target
from router.embedded.problems import QueueProblem
from router.functions.resolve import look_up, may_share
from router.mapping.rules import destination, neighbours, scaling
from router.model.concurrency import Provisioned
from router.model.destination import Destination, parse_destination
from router.model.event_invoke import EventInvoke
from router.model.function_url import FunctionUrl
from router.model.hosting import BARE, Hosting
from router.model.limits import CODE_UNZIPPED_BYTES_MAX
from router.model.permission import Permission
from router.model.resources import Function, Mapping, Queue, Webhook
from router.model.source_kind import QUEUES, SourceKind
from router.model.version import LATEST, Alias, Version
from router.store.catalog import Catalog
from router.template.desired import Desired, name_of


class After:
    """The catalog with what a template wants and without what it drops."""

    def __init__(
        self,
        catalog: Catalog,
        wishes: Sequence[tuple[str, str, Desired]],
        removed: Sequence[tuple[str, str, str]],
        hosting: Hosting = BARE,
    ) -> None:
        self._hosting = hosting
        gone = {(kind, name) for kind, name, _ in removed}
        wanted = {(kind, name): resource for kind, name, resource in wishes}

        def remaining(kind: str, known: dict[str, Any]) -> dict[str, Any]:
            kept = {name: it for name, it in known.items() if (kind, name) not in gone}
            return kept | {name: it for (other, name), it in wanted.items() if other == kind}

        self.functions: dict[str, Function] = remaining("function", catalog.functions)
        self.versions: dict[str, Version] = remaining("version", catalog.versions)
        self.aliases: dict[str, Alias] = remaining("alias", catalog.aliases)
        self._provisioned: dict[str, Provisioned] = remaining("provisioned", catalog.provisioned)
        self._event_invokes: dict[str, EventInvoke] = remaining(
            "event_invoke", catalog.event_invokes
        )
        self._mappings: dict[str, Mapping] = remaining("mapping", catalog.mappings)
        self._queues: dict[str, Queue] = {
            it.arn: it for it in remaining("queue", catalog.queues).values()
        }
        self._webhooks: dict[str, Webhook] = remaining("webhook", catalog.webhooks)
        self._streams = {it.spec.arn for it in self._webhooks.values()}

    def problem(self, wish: Desired) -> str | None:
        """Why a resource could not work."""
        match wish:
            case Function():
                return self._function_problem(wish)
            case Mapping():
                return self._mapping_problem(wish)
            case Alias():
                return self._alias_problem(wish)
            case Permission():
                if look_up(self, wish.function, wish.qualifier) is None:
                    return f"function {wish.function}:{wish.qualifier} does not exist"
            case Provisioned():
                return self._provisioned_problem(wish)
            case EventInvoke():
                return self._event_invoke_problem(wish)
            case FunctionUrl():
                return self._url_problem(wish)
            case Webhook():
                for name, other in self._webhooks.items():
                    if name != wish.spec.name and other.spec.path == wish.spec.path:
                        return f"webhook {name} listens on {wish.spec.path} already"
            case Queue():
                return self._queue_problem(wish)
        return None

    def _function_problem(self, wish: Function) -> str | None:
        if problem := self._hosting.problem(wish.runtime, wish.file_systems):
            return problem
        if wish.image is not None and not wish.code_hash:
            return self._hosting.image_folder(wish.image.uri)[1]
        for use in wish.layers:
            if not use.code_hash:
                return f"layer version {use.arn} does not exist"
        total_bytes = wish.unzipped_bytes + sum(use.unzipped_bytes for use in wish.layers)
        if total_bytes > CODE_UNZIPPED_BYTES_MAX:
            return (
                f"code and layers together are {total_bytes} bytes, at most "
                f"{CODE_UNZIPPED_BYTES_MAX} are allowed"
            )
        return self._dead_letter_problem(wish)

    def _alias_problem(self, wish: Alias) -> str | None:
        if wish.function not in self.functions:
            return f"function {wish.function} does not exist"
        functions = []
        for version in (wish.version, *wish.weights):
            found = look_up(self, wish.function, version)
            if found is None:
                return f"function {wish.function} has no version {version}"
            functions.append(found.function)
        if not all(may_share(functions[0], other) for other in functions[1:]):
            return (
                "its versions differ in role or dead-letter configuration: they cannot share "
                "invocations"
            )
        return None

    def _provisioned_problem(self, wish: Provisioned) -> str | None:
        found = look_up(self, wish.function, wish.qualifier)
        if found is None:
            return f"function {wish.function} has no version or alias {wish.qualifier}"
        if found.version == LATEST:
            return "provisioned concurrency is for published versions, not for $LATEST"
        own = [it for it in self._provisioned.values() if it.function == wish.function]
        leading = [look_up(self, wish.function, it.qualifier) for it in own]
        if sum(it is not None and it.version == found.version for it in leading) > 1:
            return f"version {found.version} has provisioned concurrency twice"
        reserved = self.functions[wish.function].reserved_concurrency
        total = sum(it.requested for it in own)
        if reserved is not None and total > reserved:
            return f"{total} provisioned are more than the {reserved} that the function reserves"
        return None

    def _url_problem(self, wish: FunctionUrl) -> str | None:
        if wish.function not in self.functions:
            return f"function {wish.function} does not exist"
        if wish.qualifier != LATEST and name_of(wish) not in self.aliases:
            return f"function {wish.function} has no alias {wish.qualifier}"
        return None

    def _dead_letter_problem(self, wish: Function) -> str | None:
        arn = wish.dead_letter_arn
        if not arn or self._is_there(parse_destination(arn)):
            return None
        return f"dead-letter queue {arn} does not exist"

    def _event_invoke_problem(self, wish: EventInvoke) -> str | None:
        if look_up(self, wish.function, wish.qualifier) is None:
            return f"function {wish.function} has no version or alias {wish.qualifier}"
        for text in (wish.on_success, wish.on_failure):
            if text and not self._is_there(parse_destination(text)):
                return f"destination {text} does not exist"
        return None

    def _is_there(self, destination: Destination) -> bool:
        """Of what is elsewhere nobody is asked."""
        if destination.kind == "function":
            return look_up(self, destination.name, destination.qualifier) is not None
        has_queues = self._hosting.has_queues
        return destination.kind != "sqs" or not has_queues or destination.text in self._queues

    def alias_of(self, version: str) -> str | None:
        """An alias that leads to a version, by `own_name`."""
        function, _, number = version.partition(":")
        for alias in self.aliases.values():
            if alias.function == function and number in (alias.version, *alias.weights):
                return alias.name
        return None

    def _mapping_problem(self, wish: Mapping) -> str | None:
        found = look_up(self, wish.function, wish.qualifier)
        function = None if found is None else found.function
        if source_problem := self._source_problem(wish, function):
            return source_problem
        if wish.function not in self.functions:
            return f"function {wish.function} does not exist"
        if found is None:
            return f"function {wish.function} has no version or alias {wish.qualifier}"
        queues = self._queues if self._hosting.has_queues else None

        def has_function(name: str, qualifier: str | None) -> bool:
            return look_up(self, name, qualifier) is not None

        if problem := destination.check_there(wish.destination_arn, queues, has_function):
            return problem.message
        others = self._mappings.values()
        if other := neighbours.find_duplicate(wish, others):
            return f"mapping {other.uuid} maps the same source to the same function"
        if other := neighbours.find_group_mate(wish, others):
            return f"mapping {other.uuid} reads in the consumer group {wish.consumer_group}"
        return next((it.message for it in scaling.check_group(wish, others)), None)

    def _source_problem(self, wish: Mapping, function: Function | None) -> str | None:
        arn, kind = wish.event_source_arn, wish.kind
        if kind is SourceKind.WEBHOOK and arn not in self._streams:
            return f"stream {arn} does not exist"
        if kind not in QUEUES:
            return None
        if not self._hosting.has_queues:
            return None  # AWS knows; the mapping says what it finds
        queue = self._queues.get(arn)
        if queue is None:
            return f"queue {arn} does not exist (ROUTER_SQS=aws reads queues of AWS)"
        if function is None:
            return None
        visibility_s = neighbours.visibility_s(queue)
        problem = neighbours.check_visibility(visibility_s, function.timeout_s)
        return None if problem is None else problem.message

    def _queue_problem(self, wish: Queue) -> str | None:
        policy = wish.attributes.get("RedrivePolicy")
        if not policy:
            return None
        target = json.loads(policy)["deadLetterTargetArn"]
        if target not in self._queues:
            return f"dead-letter queue {target} does not exist"
        try:
            check_target(policy, wish.name, self._queues.get)
        except QueueProblem as problem:
            return f"dead-letter queue {target}: {problem.message.rpartition('Reason: ')[2]}"
        return None

    def reader_of(self, kind: str, name: str) -> str | None:
        """Why something that goes is still needed."""
        ending = f":webhook/{name}" if kind == "webhook" else f":{name}"
        service = ":router:" if kind == "webhook" else ":sqs:"
        for mapping in self._mappings.values():
            arns = (mapping.event_source_arn, mapping.destination_arn or "")
            if any(service in arn and arn.endswith(ending) for arn in arns):
                return f"mapping {mapping.name} ({mapping.uuid}) needs it"
        for config in self._event_invokes.values():
            arns = (config.on_success or "", config.on_failure or "")
            if any(service in arn and arn.endswith(ending) for arn in arns):
                return f"the event-invoke config of {config.name} needs it"
        for function in self.functions.values():
            arn = function.dead_letter_arn
            if service in arn and arn.endswith(ending):
                return f"function {function.name} sends its dead letters there"
        return None
