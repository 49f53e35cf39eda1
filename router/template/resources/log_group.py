"""`AWS::Logs::LogGroup`: how long the lines of a group are shown, and its tags."""

from collections.abc import Callable
from typing import Any

from router.model.log_group import RETENTION_DAYS, LogGroup
from router.template.properties import Properties
from router.template.resources.base import At, Draft
from router.template.resources.logging_config import GROUP_PATTERN

NAME_CHARACTERS_MAX = 512
"""Longest name (CloudWatch Logs)."""

_WITHOUT_EFFECT = (
    "KmsKeyId",
    "DataProtectionPolicy",
    "FieldIndexPolicies",
    "ResourcePolicyDocument",
    "DeletionProtectionEnabled",
)


class LogsGroup:
    """A log group. It would exist without one, by the lines functions write into it."""

    name = "AWS::Logs::LogGroup"
    effect = ""

    def ref(self, at: At) -> str:
        """Its name."""
        return at.physical_name("LogGroupName", NAME_CHARACTERS_MAX)

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """Arn."""
        around = at.surroundings
        start = f"arn:aws:logs:{around.region}:{around.account}:log-group:"
        return {"Arn": lambda: f"{start}{self.ref(at)}:*"}

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Add the group."""
        properties.check_known(
            ("LogGroupName", "RetentionInDays", "LogGroupClass", "Tags", *_WITHOUT_EFFECT),
            self.name,
        )
        properties.text("LogGroupName", pattern=GROUP_PATTERN)
        properties.text("LogGroupClass", "STANDARD", choices=("STANDARD",))
        for name in _WITHOUT_EFFECT:
            if name in properties:
                draft.warnings.append(f"{at.logical_id}: {name} has no effect")
        days = None
        if "RetentionInDays" in properties:
            days = properties.integer("RetentionInDays", 1, RETENTION_DAYS[-1], 1)
            if days not in RETENTION_DAYS:
                choices = ", ".join(map(str, RETENTION_DAYS))
                properties.problem("RetentionInDays", f"{days} is none of {choices}")
        name = self.ref(at)
        if name in draft.log_groups:
            properties.problem("LogGroupName", f"two log groups are named {name}")
        draft.log_groups[name] = LogGroup(
            name=name,
            created_ms=0,
            retention_days=days,
            tags=properties.tags(),
            owner=at.owner,
        )
