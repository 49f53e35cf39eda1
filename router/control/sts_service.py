"""STS: who am I. Terraform and SDK tools ask it first."""

from typing import Any

from router.control.context import Context


class StsService:
    """One operation of STS."""

    async def get_caller_identity(
        self, context: Context, _params: dict[str, Any]
    ) -> dict[str, str]:
        """GetCallerIdentity."""
        name = context.principal.name if context.principal is not None else "router"
        return {
            "UserId": name,
            "Account": context.account,
            "Arn": f"arn:aws:iam::{context.account}:user/{name}",
        }
