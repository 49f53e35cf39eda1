"""How a source is reached: SourceAccessConfigurations (1.3)."""

from collections.abc import Iterator
from typing import Any, Final

from router.mapping.rules.refusal import Refusal, Settings, missing
from router.model.source_kind import SourceKind

_MSK: Final = frozenset({"SASL_SCRAM_512_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH"})
_OAUTH_PARTS: Final = frozenset(
    {
        "OAUTHBEARER_SCOPE",
        "OAUTHBEARER_AUDIENCE",
        "OAUTHBEARER_LOGICAL_CLUSTER",
        "OAUTHBEARER_IDENTITY_POOL",
    }
)

TYPES: Final[dict[SourceKind, frozenset[str]]] = {
    SourceKind.MSK: _MSK,
    SourceKind.KAFKA: _MSK
    | _OAUTH_PARTS
    | {
        "BASIC_AUTH",
        "SASL_SCRAM_256_AUTH",
        "SERVER_ROOT_CA_CERTIFICATE",
        "VPC_SUBNET",
        "VPC_SECURITY_GROUP",
        "OAUTHBEARER_AUTH",
        "IAM_AUTH",
        "IAM_OAUTHBEARER_AUTH",
    },
    SourceKind.MQ: frozenset({"BASIC_AUTH", "VIRTUAL_HOST"}),
    SourceKind.DOCUMENTDB: frozenset({"BASIC_AUTH"}),
}

WITHOUT_URI: Final = frozenset({"IAM_AUTH", "IAM_OAUTHBEARER_AUTH"})
"""The execution role is all they need."""

CREATE_ONLY: Final = frozenset({"VIRTUAL_HOST"})

SIGN_INS: Final = (
    frozenset(
        {
            "BASIC_AUTH",
            "SASL_SCRAM_256_AUTH",
            "SASL_SCRAM_512_AUTH",
            "CLIENT_CERTIFICATE_TLS_AUTH",
            "OAUTHBEARER_AUTH",
        }
    )
    | WITHOUT_URI
)
"""Each says who the mapping is: there can be one."""

NEEDED_BY: Final = frozenset({SourceKind.KAFKA, SourceKind.MQ})

NAME: Final = "SourceAccessConfigurations"


def check_access(kind: SourceKind, settings: Settings) -> Iterator[Refusal]:
    """The types fit the kind of source and each other, and say where their secret is."""
    items: list[dict[str, Any]] = settings.get(NAME) or []
    if not items and kind in NEEDED_BY:
        yield missing(NAME)
        return
    given = {item.get("Type", "") for item in items}
    for index, item in enumerate(items):
        yield from _check_item(kind, item, index, given)
    sign_ins = sorted(given & SIGN_INS)
    if len(sign_ins) > 1:
        yield Refusal(f"{NAME} take one of {', '.join(sign_ins)}, not several.", NAME)


def _check_item(
    kind: SourceKind, item: dict[str, Any], index: int, given: set[str]
) -> Iterator[Refusal]:
    name = item.get("Type", "")
    if not name:
        yield missing("Type", NAME, index, "Type")
        return
    if name not in TYPES.get(kind, frozenset()):
        # AWS's form for a type that is known and does not go here.
        yield Refusal(f"Invalid parameters: {name}", NAME, index, "Type")
        return
    if name in WITHOUT_URI:
        if item.get("URI"):
            yield Refusal(f"{name} takes no URI.", NAME, index, "URI")
    elif not item.get("URI"):
        yield missing("URI", NAME, index, "URI")
    needs = _needs(name)
    if needs and not needs & given:
        yield Refusal(f"{name} needs {' or '.join(sorted(needs))}.", NAME, index, "Type")
    if name in _OAUTH_PARTS - {"OAUTHBEARER_AUDIENCE"} and "IAM_OAUTHBEARER_AUTH" in given:
        yield Refusal(f"{name} does not go with IAM_OAUTHBEARER_AUTH.", NAME, index, "Type")


def _needs(name: str) -> set[str]:
    """The types of which one must stand beside this one."""
    if name == "OAUTHBEARER_AUDIENCE":
        return {"OAUTHBEARER_AUTH", "IAM_OAUTHBEARER_AUTH"}
    if name == "IAM_OAUTHBEARER_AUTH":
        return {"OAUTHBEARER_AUDIENCE"}
    return {"OAUTHBEARER_AUTH"} if name in _OAUTH_PARTS else set()


def refuse_create_only(settings: Settings) -> Iterator[Refusal]:
    """Types that an update cannot bring."""
    for index, item in enumerate(settings.get(NAME) or []):
        if item.get("Type") in CREATE_ONLY:
            yield Refusal(f"Invalid parameters: {item['Type']}", NAME, index, "Type")
