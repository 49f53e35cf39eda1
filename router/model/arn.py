"""Amazon resource names: taken apart and put together, never guessed."""

import msgspec

from router.model.errors import RouterError


class ArnError(RouterError):
    """The text is not an ARN."""

    code = "bad_arn"


class Arn(msgspec.Struct, frozen=True):
    """`arn:partition:service:region:account:resource`; `resource` may hold colons and slashes."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"


def parse_arn(text: str) -> Arn:
    """Take an ARN apart. Raises `ArnError` when it has not the six parts."""
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or not parts[2] or not parts[5]:
        raise ArnError(f"not an ARN: {text!r}")
    return Arn(*parts[1:])


def function_arn(region: str, account: str, name: str, qualifier: str | None = None) -> str:
    """ARN of a function; with a qualifier only when one is given."""
    arn = f"arn:aws:lambda:{region}:{account}:function:{name}"
    return f"{arn}:{qualifier}" if qualifier else arn


def mapping_arn(region: str, account: str, uuid: str) -> str:
    """ARN of an event source mapping."""
    return f"arn:aws:lambda:{region}:{account}:event-source-mapping:{uuid}"


def queue_arn(region: str, account: str, name: str) -> str:
    """ARN of a queue."""
    return f"arn:aws:sqs:{region}:{account}:{name}"


def webhook_arn(region: str, account: str, name: str) -> str:
    """ARN of a webhook stream (`design.md` 5)."""
    return f"arn:aws:router:{region}:{account}:webhook/{name}"


def layer_arn(region: str, account: str, name: str) -> str:
    """ARN of a layer; a version's has its number behind a colon."""
    return f"arn:aws:lambda:{region}:{account}:layer:{name}"
