"""Whether a resource policy lets a request to a function's URL through (5.5, 10).

A URL needs two actions, `lambda:InvokeFunctionUrl` and `lambda:InvokeFunction`. Who has signed
with a key of this account may have both, as its own rights are enough there; anybody else needs a
statement for each. A statement that denies one of them wins over everything.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from router.model.permission import Permission

_ACTIONS: Final = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")

_ABSENT: Final = frozenset(
    {"aws:sourcearn", "aws:sourceaccount", "aws:principalorgid", "lambda:eventsourcetoken"}
)
"""Keys of conditions that no request to a URL has: they are about services and organisations."""

_ALLOW: Final = "Allow"


class Visitor(msgspec.Struct, frozen=True):
    """Who asks a URL."""

    source_ip: str
    account: str = ""
    """Of the signer; empty: nobody has signed."""
    arn: str = ""


class UrlPolicy:
    """The policy of one URL's function and qualifier."""

    def __init__(
        self, permissions: Iterable[Permission], arn: str, *, account: str, is_signed: bool
    ) -> None:
        """`arn` is the function's, with the alias of the URL's if it has one."""
        self._statements = [permission.statement for permission in permissions]
        self._arn = arn
        self._account = account
        self._auth_type = "AWS_IAM" if is_signed else "NONE"

    def why_not(self, visitor: Visitor) -> str | None:
        """Why the visitor may not; None: it may."""
        for action in _ACTIONS:
            facts = self._facts(action, visitor)
            found = [
                (statement.get("Effect"), self._applies(statement, action, visitor, facts))
                for statement in self._statements
            ]
            # What nobody here can judge allows nothing and denies everything.
            if any(effect != _ALLOW and applies is not False for effect, applies in found):
                return f"a statement denies {action}"
            is_own = visitor.account == self._account
            if not is_own and not any(effect == _ALLOW and applies for effect, applies in found):
                return f"no statement allows {action}"
        return None

    def _facts(self, action: str, visitor: Visitor) -> dict[str, str]:
        facts = {"aws:sourceip": visitor.source_ip}
        if action == _ACTIONS[0]:
            facts["lambda:functionurlauthtype"] = self._auth_type
        else:
            facts["lambda:invokedviafunctionurl"] = "true"
        if visitor.account:
            facts["aws:principalarn"] = visitor.arn
            facts["aws:principalaccount"] = visitor.account
        return facts

    def _applies(
        self, statement: Mapping[str, Any], action: str, visitor: Visitor, facts: Mapping[str, str]
    ) -> bool | None:
        """Whether a statement is about this; None: nobody here can tell."""
        actions = [text.lower() for text in _texts(statement.get("Action"))]
        if not any(matches(text, action.lower()) for text in actions):
            return False
        if not any(matches(text, self._arn) for text in _texts(statement.get("Resource", "*"))):
            return False
        if not _names(statement.get("Principal"), visitor):
            return False
        return _all_hold(statement.get("Condition", {}), facts)


def _texts(value: Any) -> list[str]:
    """A text or a list of them, as policies have both."""
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _names(principal: Any, visitor: Visitor) -> bool:
    if principal == "*":
        return True
    if not isinstance(principal, dict):
        return False
    for text in _texts(principal.get("AWS", [])):
        if text == "*":
            return True
        root = f"arn:aws:iam::{visitor.account}:root"
        if visitor.account and text in {visitor.account, root, visitor.arn}:
            return True
    return False


def _all_hold(conditions: Any, facts: Mapping[str, str]) -> bool | None:
    if not isinstance(conditions, dict):
        return None
    result: bool | None = True
    for operator, block in conditions.items():
        if not isinstance(block, dict):
            return None
        for key, values in block.items():
            holds = _holds(operator, key.lower(), _texts(values), facts)
            if holds is False:
                return False
            result = result and holds
    return result


def _holds(operator: str, key: str, values: list[str], facts: Mapping[str, str]) -> bool | None:
    """Whether one condition holds; None: nobody here can tell."""
    name = operator.removesuffix("IfExists")
    is_optional = name != operator
    is_negated = "Not" in name
    test = _TESTS.get(name.replace("Not", "", 1))
    if test is None or (key not in facts and key not in _ABSENT):
        return None
    fact = facts.get(key)
    if fact is None:
        return is_optional or is_negated
    try:
        return any(test(value, fact) for value in values) != is_negated
    except ValueError:
        return None


def _in_network(value: str, fact: str) -> bool:
    return ipaddress.ip_address(fact) in ipaddress.ip_network(value, strict=False)


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern of `*` and `?` is all of a text."""
    at = spot = retry_at = 0
    star = -1
    while at < len(text):
        if spot < len(pattern) and pattern[spot] == "*":
            star, retry_at = spot, at
            spot += 1
        elif spot < len(pattern) and pattern[spot] in {"?", text[at]}:
            spot += 1
            at += 1
        elif star >= 0:  # the last star takes one character more
            retry_at += 1
            spot, at = star + 1, retry_at
        else:
            return False
    return not pattern[spot:].strip("*")


_TESTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "StringEquals": lambda value, fact: value == fact,
    "StringEqualsIgnoreCase": lambda value, fact: value.lower() == fact.lower(),
    "StringLike": matches,
    "ArnEquals": matches,
    "ArnLike": matches,
    "Bool": lambda value, fact: value.lower() == fact,
    "IpAddress": _in_network,
}
"""Operators of conditions; each but `Bool` has one with `Not` in it."""
