"""Dynamic references to secrets: `{{resolve:secretsmanager:NAME}}`, `{{resolve:ssm-secure:NAME}}`.

They stay references in everything that is stored or shown; only an environment that starts and a
webhook that checks a signature read the secret (`design.md` 7a). So they are allowed exactly there.
"""

import re

from router.template.problems import Path, Problems

_ANY = re.compile(r"\{\{\s*resolve\b[^}]*\}?\}?")
_GOOD = re.compile(r"\{\{resolve:(secretsmanager|ssm-secure):([A-Za-z0-9/_+=.@-]{1,200})\}\}")

_FORM = "write {{resolve:secretsmanager:NAME}} or {{resolve:ssm-secure:NAME}}"


def holds_reference(text: str) -> bool:
    """Whether the text holds a dynamic reference, well formed or not."""
    return _ANY.search(text) is not None


def check_references(text: str, path: Path, problems: Problems) -> None:
    """Report each malformed reference in a text where references are allowed."""
    for found in _ANY.finditer(text):
        reference = found.group()
        if reference != text:
            problems.add(
                path,
                f"{reference} must be the whole value",
                "give the secret a variable of its own",
            )
        good = _GOOD.fullmatch(reference)
        if good is None:
            problems.add(path, f"malformed dynamic reference {reference}", _hint(reference))
        elif ".." in good.group(2).split("/"):
            problems.add(path, f"dynamic reference {reference} names no secret", _FORM)


def refuse_references(value: object, path: Path, problems: Problems) -> bool:
    """Report each reference in a value where none is allowed; whether there was one."""
    if isinstance(value, str):
        if not holds_reference(value):
            return False
        problems.add(
            path,
            "dynamic references are not resolved here",
            "they are allowed in Environment.Variables of functions and in Signature.Secret "
            "of webhooks",
        )
        return True
    members: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    return any([refuse_references(inner, (*path, name), problems) for name, inner in members])  # noqa: C419 - report all


def _hint(reference: str) -> str:
    if re.match(r"\{\{\s*resolve:ssm:", reference):
        return "plain ssm parameters are not kept here; use ssm-secure or a template parameter"
    if re.match(r"\{\{resolve:(secretsmanager|ssm-secure):[^:}]+:", reference):
        return "only the secret's name is supported: no JSON key, version or stage"
    return _FORM
