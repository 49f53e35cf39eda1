"""`AWS::Lambda::Alias` and `AWS::Lambda::Version`: names that all lead to `$LATEST` for now."""

from collections.abc import Callable
from typing import Any

from router.model.arn import function_arn
from router.model.version import LATEST, Alias
from router.store.catalog import own_name
from router.template.properties import Properties
from router.template.resources.base import At, Draft
from router.template.resources.function_ref import parse_function_ref

ALIAS_PATTERN = r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)"
"""`functions-and-invocation.md` 3.1."""


class LambdaAlias:
    """An alias: usable as a qualifier, leading to `$LATEST`."""

    name = "AWS::Lambda::Alias"
    effect = ""

    _PROPERTIES = ("FunctionName", "FunctionVersion", "Name", "Description")
    _WITHOUT_EFFECT = ("ProvisionedConcurrencyConfig",)

    def ref(self, at: At) -> str:
        """The alias's ARN."""
        return _qualified_arn(at, at.given_text("Name"))

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """AliasArn."""
        return {"AliasArn": lambda: self.ref(at)}

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Add the alias to its function."""
        properties.check_known(
            (*self._PROPERTIES, *self._WITHOUT_EFFECT),
            self.name,
            {"RoutingConfig": "versions are not kept, so there is nothing to share between"},
        )
        if not properties.require("FunctionName", "FunctionVersion", "Name"):
            return
        alias = properties.text("Name", pattern=ALIAS_PATTERN, length_max=128)
        version = properties.text("FunctionVersion")
        if version != LATEST:
            hint = "use $LATEST, or AutoPublishAlias of AWS::Serverless::Function"
            properties.problem("FunctionVersion", f"version {version!r} does not exist", hint)
            return
        found = parse_function_ref(properties, "FunctionName", at.surroundings)
        if found and alias:
            draft.aliases[own_name(found.name, alias)] = Alias(
                function=found.name,
                name=alias,
                version=version,
                description=properties.text("Description", length_max=256),
                revision_id="",
                owner=at.owner,
            )
        if "ProvisionedConcurrencyConfig" in properties:
            draft.warnings.append(f"{at.logical_id}: ProvisionedConcurrencyConfig has no effect")


class LambdaVersion:
    """A published version: accepted, and the same as `$LATEST`."""

    name = "AWS::Lambda::Version"
    effect = "every version is $LATEST: code is not kept per version"

    _PROPERTIES = (
        "FunctionName",
        "CodeSha256",
        "Description",
        "ProvisionedConcurrencyConfig",
        "RuntimePolicy",
    )

    def ref(self, at: At) -> str:
        """The version's ARN."""
        return _qualified_arn(at, LATEST)

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """Version and FunctionArn."""
        return {"Version": lambda: LATEST, "FunctionArn": lambda: self.ref(at)}

    def build(self, at: At, properties: Properties, draft: Draft) -> None:  # noqa: ARG002
        """Nothing comes of it."""
        properties.check_known(self._PROPERTIES, self.name)
        if properties.require("FunctionName"):
            parse_function_ref(properties, "FunctionName", at.surroundings)


def _qualified_arn(at: At, qualifier: str) -> str:
    around = at.surroundings
    name = at.given_text("FunctionName").rpartition("function:")[2].partition(":")[0]
    return function_arn(around.region, around.account, name, qualifier)
