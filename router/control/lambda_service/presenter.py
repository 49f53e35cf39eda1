"""Functions and their versions as answers hold them, with states and `CodeSha256`."""

from typing import Any, Final

import structlog

from router.control.context import Context
from router.control.lambda_service.shown import add_state, configuration
from router.control.lambda_service.states import Transitions
from router.functions.packages import CodeStore
from router.functions.tree import FolderUnusable
from router.model.resources import Function
from router.model.version import LATEST
from router.store.catalog import own_name
from router.workers.platform_lines import runtime_version_arn

log = structlog.get_logger()

SHA256_KEPT_MAX: Final = 1_000
"""Computed CodeSha256 values kept in memory, by code hash."""


def transition_key(name: str, version: str) -> str:
    """What `Transitions` knows a function's version by: `$LATEST` is the function itself."""
    return name if version == LATEST else own_name(name, version)


class Presenter:
    """Shows functions."""

    def __init__(self, codes: CodeStore, transitions: Transitions) -> None:
        self._codes = codes
        self._transitions = transitions
        self._sha256: dict[str, str] = {}

    async def with_state(
        self,
        context: Context,
        function: Function,
        version: str = LATEST,
        qualifier: str | None = None,
    ) -> dict[str, Any]:
        """A FunctionConfiguration; its ARN carries the qualifier it was asked for by."""
        shown = await self.configuration(context, function, version, qualifier)
        if function.image is None:
            arn = runtime_version_arn(function.runtime, context.region)
            shown["RuntimeVersionConfig"] = {"RuntimeVersionArn": arn}
        key = transition_key(function.name, version)
        return add_state(shown, self._transitions.of(key))

    async def configuration(
        self,
        context: Context,
        function: Function,
        version: str = LATEST,
        qualifier: str | None = None,
    ) -> dict[str, Any]:
        """As `with_state`, without states: as lists show it."""
        return configuration(
            function,
            context.region,
            context.account,
            sha256=await self.code_sha256(function),
            version=version,
            qualifier=qualifier,
        )

    async def code_sha256(self, function: Function) -> str:
        """Of the uploaded zip, or of the one a folder makes, made when first asked for."""
        if function.code_sha256 is not None:
            return function.code_sha256
        known = self._sha256.get(function.code_hash)
        if known is None:
            try:
                known = await self._codes.sha256_of(function.code_hash, function.code_path)
            except FolderUnusable as error:
                log.warning("code_unreadable", function=function.name, error=str(error))
                return ""
            if len(self._sha256) >= SHA256_KEPT_MAX:
                self._sha256.clear()
            self._sha256[function.code_hash] = known
        return known
