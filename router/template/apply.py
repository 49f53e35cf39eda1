"""Plans and applies desired states."""

from collections.abc import Callable
from pathlib import Path

from router.functions.images import with_image
from router.functions.packages import with_code
from router.model.hosting import BARE, Hosting
from router.model.resources import Function
from router.store.catalog import Catalog
from router.template.code import CodeOf, keep_inline
from router.template.desired import Desired, DesiredState
from router.template.layering import Codes
from router.template.numbering import Numbering
from router.template.plan import Plan, PlanRefused
from router.template.planning import Holds, Planning


class Applier:
    """Plans and applies desired states on one catalog."""

    def __init__(
        self,
        catalog: Catalog,
        code: CodeOf,
        holds: Holds,
        inline_root: Path,
        wall_ms: Callable[[], int],
        hosting: Hosting = BARE,
        *,
        codes: Codes,
        keeps_versions: bool = True,
    ) -> None:
        """`inline_root` is the folder inline code is written to, `keeps_versions` is `Numbering`'s.

        `codes` keeps the code that versions and layers are made of.
        """
        self._codes = codes
        self._keeps_versions = keeps_versions
        self._hosting = hosting
        self._catalog = catalog
        self._code = code
        self._holds = holds
        self._inline_root = inline_root
        self._wall_ms = wall_ms

    async def plan(self, desired: DesiredState, *, allow_data_loss: bool = False) -> Plan:
        """What applying would do. Raises `FolderUnusable` for code that cannot be read."""
        wishes = [
            (kind, name, await self._complete(desired, resource))
            for kind, name, resource in desired.resources()
        ]
        now_ms = self._wall_ms()
        numbering = Numbering(
            self._catalog, self._codes, now_ms, keeps_versions=self._keeps_versions
        )
        planning = Planning(
            self._catalog,
            desired,
            self._holds,
            now_ms,
            may_lose=allow_data_loss,
            hosting=self._hosting,
            numbering=numbering,
        )
        return await planning.run(wishes)

    async def apply(self, desired: DesiredState, *, allow_data_loss: bool = False) -> Plan:
        """Make it so, in one transaction. Raises `PlanRefused` and changes nothing then."""
        async with self._catalog.changing() as catalog:
            plan = await self.plan(desired, allow_data_loss=allow_data_loss)
            if plan.refused:
                raise PlanRefused(plan)
            await catalog.commit_locked(plan.catalog_changes)
        return plan

    async def _complete(self, desired: DesiredState, resource: Desired) -> Desired:
        """A function with its code ready to run; anything else as it is."""
        if not isinstance(resource, Function):
            return resource
        if resource.image is not None:
            return await self._with_image(resource, resource.image.uri)
        inline = desired.inline_code.get(resource.name)
        if inline is not None:
            folder = await keep_inline(self._inline_root, inline)
        else:
            folder = Path(resource.code_path)
        package = await self._code(folder)
        is_in_place = inline is None and Path(package.path) == folder
        return with_code(resource, package, is_in_place=is_in_place)

    async def _with_image(self, function: Function, uri: str) -> Function:
        """The function with what its image holds; as it is where there is no such image here.

        Raises `ImageUnusable`.
        """
        folder = function.code_path or self._hosting.image_folder(uri)[0]
        if not folder or self._hosting.image_problem:
            return function
        return await with_image(function, folder)
