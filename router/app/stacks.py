"""Templates on a running router: plan and apply."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from router.app.admin import BadRequest
from router.app.options import Options
from router.functions.packages import CodeStore, Package
from router.functions.tree import is_public
from router.model.hosting import Hosting
from router.store.base import Store
from router.store.catalog import Catalog
from router.template.apply import Applier
from router.template.code import CodeOf, InPlace
from router.template.desired import DesiredState
from router.template.holdings import holdings_of
from router.template.plan import Plan
from router.template.plan_document import plan_document

log = structlog.get_logger()


class ReadableInPlace:
    """Runs folders where they are; of one that other users may not read, a copy."""

    def __init__(self, snapshot: CodeOf) -> None:
        self._snapshot = snapshot
        self._in_place = InPlace()
        self._told: set[Path] = set()

    async def __call__(self, folder: Path) -> Package:
        """The folder as a package. Raises `FolderUnusable`."""
        if await asyncio.to_thread(is_public, folder):
            return await self._in_place(folder)
        if folder not in self._told:
            self._told.add(folder)
            log.warning(
                "code_copied",
                folder=str(folder),
                why="functions run as users of their own, who may not read it; "
                "chmod -R o+rX it to run it in place",
            )
        return await self._snapshot(folder)


class Stacks:
    """Brings the catalog to what templates say."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        options: Options,
        data: Path,
        wall_ms: Callable[[], int],
        *,
        hosting: Hosting,
        has_own_users: bool = False,
    ) -> None:
        """`has_own_users`: functions run as users of their own, who must be able to read code."""
        self._options = options
        holds = holdings_of(store, catalog, wall_ms)
        inline = data / "inline"
        codes = CodeStore(data / "code")
        snapshots = codes.snapshot
        in_place = ReadableInPlace(snapshots) if has_own_users else InPlace()
        self._in_place = Applier(
            catalog,
            in_place,
            holds,
            inline,
            wall_ms,
            hosting,
            codes=codes,
            keeps_versions=False,  # one is made at each save
        )
        self._snapshots = Applier(catalog, snapshots, holds, inline, wall_ms, hosting, codes=codes)

    def operations(self) -> dict[str, Any]:
        """Name → handler, for the private `router` service."""
        return {"Plan": self._plan, "Apply": self._apply}

    async def apply_own(self, desired: DesiredState) -> Plan:
        """Bring about what the template of this router says. Raises `RouterError`."""
        applier = self._in_place if self._options.mode == "run" else self._snapshots
        plan = await applier.apply(desired)
        for warning in plan.warnings:
            log.warning("template_warning", text=warning)
        counts = {
            action: sum(1 for change in plan.changes if change.action == action)
            for action in ("create", "update", "replace", "delete", "keep")
        }
        log.info(
            "template_applied", stack_name=plan.stack, **{k: v for k, v in counts.items() if v}
        )
        return plan

    async def plan(self, desired: DesiredState, *, may_lose: bool) -> dict[str, Any]:
        """What applying would do, as a document. Raises `RouterError`."""
        return plan_document(await self._snapshots.plan(desired, allow_data_loss=may_lose))

    async def apply(self, desired: DesiredState, *, may_lose: bool) -> dict[str, Any]:
        """Apply with code in snapshots. Raises `RouterError` and changes nothing then."""
        return plan_document(await self._snapshots.apply(desired, allow_data_loss=may_lose))

    async def _plan(self, request: dict[str, Any]) -> dict[str, Any]:
        desired, may_lose = _request(request)
        return await self.plan(desired, may_lose=may_lose)

    async def _apply(self, request: dict[str, Any]) -> dict[str, Any]:
        desired, may_lose = _request(request)
        return await self.apply(desired, may_lose=may_lose)


def _request(request: dict[str, Any]) -> tuple[DesiredState, bool]:
    """The desired state of a Plan or Apply call. Raises `BadRequest`."""
    try:
        return msgspec.convert(request.get("Desired"), DesiredState), bool(
            request.get("AllowDataLoss")
        )
    except msgspec.ValidationError as error:
        raise BadRequest(f"Desired is no desired state: {error}") from None
