"""`AWS::Lambda::Permission`: one statement of a function's resource policy."""

from collections.abc import Callable
from typing import Any

from router.functions.permissions import BadPrincipal, statement_of
from router.model.arn import function_arn
from router.model.permission import Permission
from router.model.version import LATEST
from router.template.properties import Properties
from router.template.resources.base import At, Draft
from router.template.resources.function_ref import parse_function_ref

SID_CHARACTERS_MAX = 100
"""Longest StatementId (Lambda quota)."""

_TEXTS = (
    "Action",
    "Principal",
    "SourceArn",
    "SourceAccount",
    "EventSourceToken",
    "FunctionUrlAuthType",
    "PrincipalOrgID",
)


class LambdaPermission:
    """A statement; kept and shown by GetPolicy."""

    name = "AWS::Lambda::Permission"
    effect = ""

    def ref(self, at: At) -> str:
        """The statement's Sid."""
        return at.physical_name("", SID_CHARACTERS_MAX)

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """Id."""
        return {"Id": lambda: self.ref(at)}

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Add the statement."""
        properties.check_known((*_TEXTS, "FunctionName", "InvokedViaFunctionUrl"), self.name)
        if not properties.require("Action", "FunctionName", "Principal"):
            return
        found = parse_function_ref(properties, "FunctionName", at.surroundings)
        if found is None:
            return
        if found.qualifier == LATEST:
            properties.problem("FunctionName", "a policy cannot be of $LATEST", "leave it out")
            return
        around, sid = at.surroundings, self.ref(at)
        given: dict[str, Any] = {name: properties.text(name) for name in _TEXTS}
        given["InvokedViaFunctionUrl"] = properties.boolean("InvokedViaFunctionUrl")
        arn = function_arn(around.region, around.account, found.name, found.qualifier)
        try:
            statement = statement_of(sid, arn, given)
        except BadPrincipal:
            text = f"{given['Principal']!r} is no principal"
            properties.problem("Principal", text, "a service, an account, an ARN of IAM, or *")
            return
        draft.permissions[at.logical_id] = Permission(
            function=found.name,
            qualifier=found.qualifier or LATEST,
            sid=sid,
            statement=statement,
            place=0,
            owner=at.owner,
        )
