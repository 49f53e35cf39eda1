"""Concurrency that functions are given: reserved and provisioned (`functions-and-…md` 9)."""

from collections.abc import Mapping

import msgspec

from router.model.resources import Owner

INIT_FAILED = "FUNCTION_ERROR_INIT_FAILURE"
"""Why provisioned concurrency is FAILED."""

ACCOUNT_LIMIT = "ConcurrentInvocationLimitExceeded"
RESERVED_LIMIT = "ReservedFunctionConcurrentInvocationLimitExceeded"
"""`Reason` of a 429: nothing unreserved is free, or nothing of what the function reserved."""


class Allotment(msgspec.Struct, frozen=True):
    """What one function was given."""

    reserved: int | None = None
    """For all its versions together, guarantee and maximum at once; 0: it does not run."""
    provisioned: dict[str, int] = {}
    """Version → environments started ahead; part of what is reserved."""

    @property
    def ready(self) -> int:
        """Environments started ahead, all versions."""
        return sum(self.provisioned.values())

    @property
    def claimed(self) -> int:
        """What no other function can have of the account's limit."""
        return self.ready if self.reserved is None else max(self.reserved, self.ready)


class Provisioned(msgspec.Struct, frozen=True, kw_only=True):
    """Provisioned concurrency of a version or an alias, as it was asked for."""

    function: str
    qualifier: str
    """A version's number, or an alias: then its version has it, whichever that is."""
    requested: int
    last_modified_ms: int
    owner: Owner | None = None


class ProvisionedStatus(msgspec.Struct, frozen=True):
    """How far it is."""

    state: str
    """IN_PROGRESS, READY or FAILED."""
    ready: int = 0
    reason: str = ""


Allotments = Mapping[str, Allotment]
"""By function; those that were given nothing are not in it."""


class AccountLimit(msgspec.Struct, frozen=True):
    """Concurrency of the whole router."""

    concurrency: int = 1_000
    unreserved_min: int = 100
    """Of it must stay for functions without a reservation."""


AWS_LIMIT = AccountLimit()
"""What an account has on AWS."""


def account_limit(concurrency: int, unreserved_setting: int) -> AccountLimit:
    """With AWS's 100 unreserved, or a tenth of a small limit, where nothing is said (below 0)."""
    kept = min(100, concurrency // 10) if unreserved_setting < 0 else unreserved_setting
    return AccountLimit(concurrency, min(kept, concurrency))
