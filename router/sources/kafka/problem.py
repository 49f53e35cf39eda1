"""Why a cluster cannot be read, as a mapping's status says it (`event-source-mappings.md` 1.7)."""

from typing import Final

from router.model.errors import RouterError

NOT_VALID: Final = "ESM_CONFIG_NOT_VALID"
AUTHENTICATION: Final = "EVENT_SOURCE_AUTHN_ERROR"
AUTHORIZATION: Final = "EVENT_SOURCE_AUTHZ_ERROR"
PASSING: Final = ""
"""Nobody has to change anything: the cluster is away, or moves."""

NOT_AUTHORIZED: Final = "Cluster failed to authorize Lambda"
SASL_FAILED: Final = "SASL authentication failed"
NOT_ACCEPTED: Final = "Server failed to authenticate Lambda"
NOT_TRUSTED: Final = "Lambda failed to authenticate server"
BAD_CERTIFICATE: Final = "Provided certificate or private key is invalid"
"""The titles of AWS; what is behind the colon is for people."""


class SourceProblem(RouterError):
    """A cluster, a topic or a group cannot be used.

    `reason` is the StateTransitionReason, empty for what passes by itself. The text never holds a
    secret.
    """

    code = "source_unusable"
    retryable = True

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason

    @property
    def result(self) -> str:
        """LastProcessingResult."""
        return f"PROBLEM: {self}"


class OutOfRange(RouterError):
    """The broker has no such offset: trimmed by retention, or the topic was made anew."""

    code = "out_of_range"

    def __init__(self, first: int, end: int) -> None:
        super().__init__(f"the partition begins at {first} and ends at {end}")
        self.first = first
        self.end = end
