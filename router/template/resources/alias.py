"""`AWS::Lambda::Version` and `AWS::Lambda::Alias`."""

import re
from collections.abc import Callable
from typing import Any

from router.model.arn import function_arn
from router.model.concurrency import Provisioned
from router.model.resources import Owner
from router.model.version import LATEST, Alias
from router.store.catalog import own_name
from router.template.properties import Properties
from router.template.resources.base import At, Draft, NextVersion, version_token
from router.template.resources.function import RESERVED_MAX
from router.template.resources.function_ref import parse_function_ref

ALIAS_PATTERN = r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)"
"""`functions-and-invocation.md` 3.1."""

PROVISIONED = "ProvisionedConcurrencyConfig"

_VERSION = re.compile(rf"\$LATEST|[0-9]+|{version_token('[a-zA-Z0-9]+')}")
"""A version as templates name it, or what stands for its number."""


class LambdaVersion:
    """A published version: once, or with `AutoPublishAlias` whenever the function has changed."""

    name = "AWS::Lambda::Version"
    effect = ""

    _PROPERTIES = ("FunctionName", "Description", PROVISIONED)
    _WITHOUT_EFFECT = ("CodeSha256", "RuntimePolicy")

    def ref(self, at: At) -> str:
        """The version's ARN."""
        return _qualified_arn(at, version_token(at.logical_id))

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """Version and FunctionArn."""
        return {
            "Version": lambda: version_token(at.logical_id),
            "FunctionArn": lambda: self.ref(at),
        }

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Add the version."""
        properties.check_known((*self._PROPERTIES, *self._WITHOUT_EFFECT), self.name)
        if not properties.require("FunctionName"):
            return
        found = parse_function_ref(properties, "FunctionName", at.surroundings)
        if found is None:
            return
        draft.versions[at.logical_id] = NextVersion(
            function=found.name,
            description=properties.text("Description", length_max=256)
            if "Description" in properties
            else None,
            owner=at.owner,
        )
        _provision(at, properties, draft, found.name, version_token(at.logical_id))
        _warn(at, properties, draft, self._WITHOUT_EFFECT)


class LambdaAlias:
    """An alias, which may share invocations between two versions."""

    name = "AWS::Lambda::Alias"
    effect = ""

    _PROPERTIES = (
        "FunctionName",
        "FunctionVersion",
        "Name",
        "Description",
        "RoutingConfig",
        PROVISIONED,
    )

    def ref(self, at: At) -> str:
        """The alias's ARN."""
        return _qualified_arn(at, at.given_text("Name"))

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """AliasArn."""
        return {"AliasArn": lambda: self.ref(at)}

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Add the alias to its function."""
        properties.check_known(self._PROPERTIES, self.name)
        if not properties.require("FunctionName", "FunctionVersion", "Name"):
            return
        alias = properties.text("Name", pattern=ALIAS_PATTERN, length_max=128)
        version = _version(properties)
        found = parse_function_ref(properties, "FunctionName", at.surroundings)
        weights = _weights(properties, version)
        if not found or not alias:
            return
        name = own_name(found.name, alias)
        if name in draft.aliases:
            properties.problem("Name", f"{found.name} has two aliases named {alias}")
        draft.aliases[name] = Alias(
            function=found.name,
            name=alias,
            version=version,
            weights=weights,
            description=properties.text("Description", length_max=256),
            revision_id="",
            owner=at.owner,
        )
        _provision(at, properties, draft, found.name, alias)


def _provision(at: At, properties: Properties, draft: Draft, function: str, qualifier: str) -> None:
    """Add the `ProvisionedConcurrencyConfig` of a version or an alias."""
    section = properties.section(PROVISIONED)
    if section is None:
        return
    section.check_known(("ProvisionedConcurrentExecutions",), PROVISIONED)
    if not section.require("ProvisionedConcurrentExecutions"):
        return
    requested = section.integer("ProvisionedConcurrentExecutions", 1, RESERVED_MAX, 1)
    draft.provisioned[own_name(function, qualifier)] = Provisioned(
        function=function,
        qualifier=qualifier,
        requested=requested,
        last_modified_ms=0,
        owner=Owner(at.owner.stack, f"{at.logical_id}.{PROVISIONED}"),
    )


def _weights(properties: Properties, version: str) -> dict[str, float]:
    """Version → share, of `RoutingConfig`."""
    routing = properties.section("RoutingConfig")
    if routing is None:
        return {}
    routing.check_known(("AdditionalVersionWeights",), "RoutingConfig")
    given = routing.sections("AdditionalVersionWeights")
    if len(given) > 1:
        routing.problem("AdditionalVersionWeights", "only one more version may have a share")
    weights = {}
    for share in given:
        share.check_known(("FunctionVersion", "FunctionWeight"), "VersionWeight")
        if not share.require("FunctionVersion", "FunctionWeight"):
            continue
        other = _version(share)
        if LATEST in (version, other):
            share.problem("FunctionVersion", "$LATEST cannot share: both must be published")
        elif other == version:
            share.problem("FunctionVersion", "is the version the alias leads to already")
        weights[other] = share.fraction("FunctionWeight")
    return weights


def _version(properties: Properties) -> str:
    """`FunctionVersion`."""
    version = properties.text("FunctionVersion")
    if version and _VERSION.fullmatch(version) is None:
        hint = "use !GetAtt of an AWS::Lambda::Version (.Version), a number, or $LATEST"
        properties.problem("FunctionVersion", f"{version!r} is no version", hint)
    return version


def _warn(at: At, properties: Properties, draft: Draft, names: tuple[str, ...]) -> None:
    for name in names:
        if name in properties:
            draft.warnings.append(f"{at.logical_id}: {name} has no effect")


def _qualified_arn(at: At, qualifier: str) -> str:
    around = at.surroundings
    name = at.given_text("FunctionName").rpartition("function:")[2].partition(":")[0]
    return function_arn(around.region, around.account, name, qualifier)
