"""Types that are accepted for what surrounds them on AWS, with a stated effect here.

Their properties are not looked at beyond resolving them (`docs/compatibility.md`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from router.template.names import Surroundings, physical_name
from router.template.properties import Properties
from router.template.resources.base import At, Draft

_IAM = "permissions are not enforced by the router"
_NAME_CHARACTERS_MAX = 64


class Accepted:
    """A type whose resources are known by name and do nothing else."""

    def __init__(
        self,
        name: str,
        effect: str,
        *,
        name_property: str = "",
        arns: dict[str, Callable[[Surroundings, str], str]] | None = None,
        ref_attribute: str = "",
    ) -> None:
        """`arns` are attributes made of the name; `ref_attribute` is the one `Ref` gives."""
        self.name = name
        self.effect = effect
        self._name_property = name_property
        self._arns = arns or {}
        self._ref_attribute = ref_attribute

    def ref(self, at: At) -> str:
        """The name, or the attribute the type's documentation says."""
        if self._ref_attribute:
            return self._arns[self._ref_attribute](at.surroundings, self._resource_name(at))
        return self._resource_name(at)

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """ARNs and ids."""
        name = self._resource_name(at)
        return {
            attribute: partial(make, at.surroundings, name)
            for attribute, make in self._arns.items()
        }

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Nothing comes of it."""

    def _resource_name(self, at: At) -> str:
        if self._name_property:
            return at.physical_name(self._name_property, _NAME_CHARACTERS_MAX)
        return physical_name(at.surroundings.stack, at.logical_id, _NAME_CHARACTERS_MAX)


def _iam(kind: str) -> Callable[[Surroundings, str], str]:
    return lambda around, name: f"arn:aws:iam::{around.account}:{kind}/{name}"


def _regional(service: str, resource: str) -> Callable[[Surroundings, str], str]:
    return lambda around, name: (
        f"arn:aws:{service}:{around.region}:{around.account}:{resource.format(name)}"
    )


ACCEPTED = (
    Accepted(
        "AWS::IAM::Role",
        _IAM,
        name_property="RoleName",
        arns={"Arn": _iam("role"), "RoleId": lambda _, name: f"AROA{name}"},
    ),
    Accepted("AWS::IAM::Policy", _IAM),
    Accepted(
        "AWS::IAM::ManagedPolicy",
        _IAM,
        name_property="ManagedPolicyName",
        arns={"PolicyArn": _iam("policy")},
        ref_attribute="PolicyArn",
    ),
    Accepted("AWS::SQS::QueuePolicy", "who may use a queue is not enforced"),
    Accepted("AWS::SQS::QueueInlinePolicy", "who may use a queue is not enforced"),
    Accepted("AWS::CodeDeploy::Application", "new code is taken at once, without shifting"),
    Accepted("AWS::CodeDeploy::DeploymentGroup", "new code is taken at once, without shifting"),
    Accepted(
        "AWS::CloudWatch::Alarm",
        "alerts come from the metrics endpoint",
        name_property="AlarmName",
        arns={"Arn": _regional("cloudwatch", "alarm:{}")},
    ),
)
