"""From a template's file to the desired state."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

import msgspec

from router.model.errors import ConfigError
from router.model.nearest import did_you_mean
from router.model.version import LATEST
from router.template.conditions import Conditions
from router.template.desired import DesiredState
from router.template.dynamic import holds_reference, refuse_references
from router.template.graph import Graph
from router.template.intrinsics import NO_VALUE, Resolver, is_open
from router.template.names import Surroundings, place_of, stack_name_of
from router.template.parameters import as_text, resolve_parameters
from router.template.problems import Path, Places, Problems, TemplateRefused
from router.template.properties import Properties
from router.template.read import Document, read_file
from router.template.resources import TYPES
from router.template.resources.base import Draft
from router.template.sam import FUNCTION, LAYER, TRANSFORM, translate, uses_sam
from router.template.shape import check_shape, check_types

OUTPUTS_MAX = 200
"""Outputs of one template (CloudFormation quota)."""

_WITH_CODE = (FUNCTION, LAYER, "AWS::Lambda::Function", "AWS::Lambda::LayerVersion")
"""Types whose properties name folders of code."""

_REFERENCES_ALLOWED: dict[str, tuple[tuple[str, ...], ...]] = {
    "AWS::Lambda::Function": (("Environment", "Variables"),),
    "Router::Webhook": (("Signature", "Secret"), ("Signature", "Secrets")),
}
"""Where dynamic references may stand, below Properties."""

SecretOf = Callable[[str], object]
"""The secret behind a dynamic reference. Raises `ConfigError` when it is nowhere."""


def load_template(
    path: FilePath,
    parameters: Mapping[str, str] | None = None,
    *,
    stack_name: str | None = None,
    region: str = "us-east-1",
    account: str = "000000000000",
    api_url: str = "http://127.0.0.1:9470",
    ingress_url: str = "http://127.0.0.1:8080",
    url_base: str = "",
    has_queues: bool = True,
    secret_of: SecretOf | None = None,
) -> DesiredState:
    """Read a template and work out what shall exist.

    With `secret_of` each secret that it names must be there. Blocking; with the SAM transform it
    starts a child process (about half a second, remembered while the template stays the same).
    Raises `TemplateRefused` with everything that is wrong.
    """
    surroundings = Surroundings(
        stack=stack_name or stack_name_of(path),
        region=region,
        account=account,
        api_url=api_url,
        ingress_url=ingress_url,
        url_base=url_base,
        has_queues=has_queues,
    )
    document = read_file(path)
    return _Loading(path, document, parameters or {}, surroundings, secret_of).run()


def files_of(
    path: FilePath, parameters: Mapping[str, str] | None = None, *, region: str = "us-east-1"
) -> set[FilePath]:
    """What to watch: the template and the code folders it names, as far as it can be read.

    Never raises for a broken template: it is watched until it is whole again.
    """
    found = {place_of(path)}
    try:
        surroundings = Surroundings(stack=stack_name_of(path), region=region)
        loading = _Loading(path, read_file(path), parameters or {}, surroundings)
        folders = loading.code_folders()
    except TemplateRefused:
        return found
    return found | {place_of(path.parent / folder) for folder in folders}


class _Loading:
    """One template on its way; each stage ends by raising what was found wrong so far."""

    def __init__(
        self,
        path: FilePath,
        document: Document,
        parameters: Mapping[str, str],
        surroundings: Surroundings,
        secret_of: SecretOf | None = None,
    ) -> None:
        self._path = path
        self._secret_of = secret_of
        self._written = document.value
        self._places: Places = document.places
        self._problems = Problems(self._places)
        self._given = parameters
        self._surroundings = surroundings
        self._values: dict[str, Any] = {}
        self._conditions: dict[str, bool] = {}

    def run(self) -> DesiredState:
        check_shape(self._written, self._problems)
        self._work_out_values()
        template = self._resolve_without_resources()
        if uses_sam(self._written):
            region = self._surroundings.region
            template = translate(template, region, self._places, self._problems)
        check_types(template["Resources"], self._problems)
        return self._build(template)

    def code_folders(self) -> set[str]:
        """Local code folders as written."""
        check_shape(self._written, self._problems)
        self._work_out_values()
        template = self._resolve_without_resources()
        with_code = [
            resource.get("Properties", {})
            for resource in template["Resources"].values()
            if resource["Type"] in _WITH_CODE
        ]
        shared = template.get("Globals", {})
        written = [
            properties.get(name)
            for properties in (*shared.values(), *with_code)
            if isinstance(properties, dict)
            for name in ("CodeUri", "Code", "ContentUri", "Content")
        ]
        return {
            folder
            for folder in written
            if isinstance(folder, str) and not folder.startswith("s3://") and "\0" not in folder
        }

    def _work_out_values(self) -> None:
        around = self._surroundings
        declared = self._written.get("Parameters", {})
        self._values = resolve_parameters(declared, self._given, self._problems)
        self._problems.raise_any()
        self._values |= {
            "AWS::Region": around.region,
            "AWS::AccountId": around.account,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": around.stack,
            "AWS::StackId": around.stack_id(),
            "AWS::NotificationARNs": [],
        }
        for name in declared:
            if name in self._written["Resources"]:
                self._problems.add(("Resources", name), "is the name of a parameter too")
        conditions = Conditions(
            self._written.get("Conditions", {}), self._resolver(), self._problems
        )
        self._conditions = conditions.all()
        self._problems.raise_any()

    def _resolver(self, graph: Graph | None = None) -> Resolver:
        mappings = self._written.get("Mappings", {})
        return Resolver(self._values, mappings, self._conditions, self._problems, graph)

    def _resolve_without_resources(self) -> dict[str, Any]:
        """Resources whose condition holds, Outputs and Globals, resolved as far as possible."""
        resolver = self._resolver()
        template: dict[str, Any] = {"Transform": TRANSFORM, "Resources": {}}
        for logical_id, resource in self._written["Resources"].items():
            path: Path = ("Resources", logical_id)
            if not self._holds(resource.get("Condition"), (*path, "Condition")):
                continue
            kept = {name: resource[name] for name in ("Type", "DependsOn") if name in resource}
            if "Properties" in resource:
                properties = resolver.resolve(resource["Properties"], (*path, "Properties"))
                kept["Properties"] = {} if properties is NO_VALUE else properties
            template["Resources"][logical_id] = kept
        if "Globals" in self._written:
            template["Globals"] = resolver.resolve(self._written["Globals"], ("Globals",))
        template["Outputs"] = self._written_outputs(resolver)
        self._problems.raise_any()
        return template

    def _holds(self, condition: Any, path: Path) -> bool:
        if condition is None:
            return True
        if condition not in self._conditions:
            hint = did_you_mean(str(condition), self._conditions)
            self._problems.add(path, f"unknown condition {condition}", hint)
            return False
        return self._conditions[condition]

    def _written_outputs(self, resolver: Resolver) -> dict[str, Any]:
        outputs = self._written.get("Outputs", {})
        if not isinstance(outputs, dict) or len(outputs) > OUTPUTS_MAX:
            self._problems.add(("Outputs",), f"must be a mapping of at most {OUTPUTS_MAX} outputs")
            return {}
        values: dict[str, Any] = {}
        for name, output in outputs.items():
            path: Path = ("Outputs", name)
            if not isinstance(output, dict) or "Value" not in output:
                self._problems.add(path, "must be a mapping with a Value")
                continue
            for member in output:
                known = ("Value", "Description", "Export", "Condition")
                if member not in known:
                    hint = did_you_mean(member, known)
                    self._problems.add((*path, member), "unknown member of an output", hint)
            if self._holds(output.get("Condition"), (*path, "Condition")):
                values[name] = {"Value": resolver.resolve(output["Value"], (*path, "Value"))}
        return values

    def _build(self, template: dict[str, Any]) -> DesiredState:
        resources, written = template["Resources"], self._written["Resources"]
        graph = Graph(resources, self._surroundings, self._problems)
        graph.resolver = self._resolver(graph)
        draft = Draft(place_of(self._path).parent, self._problems)
        for logical_id, resource in resources.items():
            kind = TYPES[resource["Type"]]
            path: Path = ("Resources", logical_id, "Properties")
            resolved = graph.properties(logical_id)
            elsewhere = resolved
            for allowed in _REFERENCES_ALLOWED.get(kind.name, ()):
                elsewhere = _without(elsewhere, allowed)
                self._find_secrets(resolved, path, allowed)
            if refuse_references(elsewhere, path, self._problems):
                continue
            kind.build(graph.at(logical_id), Properties(resolved, path, self._problems), draft)
            if kind.effect and logical_id in written:
                draft.warnings.append(f"{logical_id}: {kind.name} is accepted; {kind.effect}")
        outputs = self._outputs(template.get("Outputs", {}), graph.resolver)
        order = graph.order()
        _check_versions(draft)
        _check_qualifiers(draft)
        _warn_of_closed_urls(draft)
        self._problems.raise_any()
        return DesiredState(
            stack=self._surroundings.stack,
            template_path=str(place_of(self._path)),
            functions=tuple(draft.functions.values()),
            versions=tuple(
                msgspec.structs.replace(version, is_automatic=logical_id not in written)
                for logical_id, version in draft.versions.items()
            ),
            aliases=tuple(draft.aliases.values()),
            permissions=tuple(draft.permissions.values()),
            layers=tuple(draft.layers.values()),
            provisioned=tuple(draft.provisioned.values()),
            urls=tuple(draft.urls.values()),
            event_invokes=tuple(draft.event_invokes.values()),
            mappings=tuple(draft.mappings.values()),
            queues=tuple(draft.queues.values()),
            webhooks=tuple(draft.webhooks.values()),
            log_groups=tuple(draft.log_groups.values()),
            enabled_unset=tuple(draft.enabled_unset),
            loops_unset=tuple(draft.loops_unset),
            inline_code=draft.inline_code,
            order=tuple(order),
            outputs=outputs,
            warnings=tuple(draft.warnings),
        )

    def _find_secrets(self, properties: Any, path: Path, allowed: tuple[str, ...]) -> None:
        """Report each secret below `allowed` that is nowhere."""
        if self._secret_of is None:
            return
        value = properties
        for name in allowed:
            value = value.get(name) if isinstance(value, dict) else None
        for where, text in _texts(value, (*path, *allowed)):
            if holds_reference(text):
                try:
                    self._secret_of(text)
                except ConfigError as error:
                    self._problems.add(where, str(error))

    def _outputs(self, written: dict[str, Any], resolver: Resolver) -> dict[str, str]:
        outputs: dict[str, str] = {}
        for name, output in written.items():
            path: Path = ("Outputs", name, "Value")
            value = resolver.resolve(output["Value"], path)
            if refuse_references(value, path, self._problems):
                continue
            if value is NO_VALUE or isinstance(value, dict | list) or is_open(value):
                self._problems.add(path, "must be text")
                continue
            outputs[name] = as_text(value)
        return outputs


def _without(value: Any, path: tuple[str, ...]) -> Any:
    """The value without what is at the path."""
    if not isinstance(value, dict):
        return value
    first, rest = path[0], path[1:]
    if not rest:
        return {name: inner for name, inner in value.items() if name != first}
    return {
        name: _without(inner, rest) if name == first else inner for name, inner in value.items()
    }


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Every text in a value, with its place."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))


def _check_versions(draft: Draft) -> None:
    """A version is published with its function: both are of one template."""
    for logical_id, version in draft.versions.items():
        if version.function not in draft.functions:
            path = ("Resources", logical_id, "Properties", "FunctionName")
            text = f"function {version.function} is not of this template"
            draft.problems.add(path, text, "a version is published where its function is made")


def _check_qualifiers(draft: Draft) -> None:
    """A mapping's qualifier must be an alias or a version of its function, or `$LATEST`."""
    for mapping in draft.mappings.values():
        name, qualifier = mapping.function, mapping.qualifier or LATEST
        aliases = [alias.name for alias in draft.aliases.values() if alias.function == name]
        versions = [it.token for it in draft.versions.values() if it.function == name]
        is_number = qualifier.isdigit()  # whether it exists is known when the template is planned
        if name not in draft.functions or is_number or qualifier in (LATEST, *aliases, *versions):
            continue
        owner = mapping.owner.logical_id if mapping.owner else ""
        path = ("Resources", owner, "Properties", "FunctionName")
        hint = did_you_mean(qualifier, aliases)
        text = f"{name} has no version or alias {qualifier}"
        draft.problems.add(path, text, hint)


def _warn_of_closed_urls(draft: Draft) -> None:
    """A URL that asks for no signature needs statements all the same, as on AWS."""
    stated = {(it.function, it.qualifier) for it in draft.permissions.values()}
    for url in draft.urls.values():
        if not url.is_signed and (url.function, url.qualifier) not in stated:
            logical_id = url.owner.logical_id if url.owner else url.function
            draft.warnings.append(
                f"{logical_id}: AuthType NONE without an AWS::Lambda::Permission for "
                "lambda:InvokeFunctionUrl and one for lambda:InvokeFunction: on AWS, and here with "
                "[access_keys], requests are answered 403"
            )
