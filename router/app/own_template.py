"""The template a router was started with: brought about at its start and after each save.

What is broken for a moment changes nothing: what ran before goes on, and everybody is told.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from router.app.options import Options
from router.app.template_file import TemplateFile
from router.app.watch import Watch
from router.config import Settings
from router.model.errors import RouterError, TemplateError
from router.model.reload import ReloadStatus, Result
from router.telemetry import metrics
from router.template.desired import DesiredState

log = structlog.get_logger()

QUIET_S = 1.0
"""How long nothing may have been written before `serve` applies it: files may come one by one."""


class OwnTemplate:
    """Reads, applies and follows the one template of this router, if it has one."""

    def __init__(
        self,
        settings: Settings,
        options: Options,
        apply: Callable[[DesiredState], Awaitable[object]],
        wall_ms: Callable[[], int],
    ) -> None:
        """`apply` brings about what a template says, all or nothing. Raises `RouterError`."""
        self.status: ReloadStatus | None = None
        """Of the last reading; None without a template."""
        self._settings = settings
        self._apply = apply
        self._wall_ms = wall_ms
        self._file: TemplateFile | None = None
        self._desired: DesiredState | None = None
        self._watch: Watch | None = None
        self._addresses: Mapping[str, str] = {}
        if options.template is not None:
            self._file = TemplateFile(
                options.template,
                options.parameters,
                settings,
                options.stack_name,
                needs_secrets=True,
            )
            if options.is_watching:
                quiet_s = QUIET_S if options.mode == "serve" else 0.0
                self._watch = Watch(self._file.files, self._reload, quiet_s)

    async def read(self) -> None:
        """Before anything is touched: a broken template changes nothing. Raises `TemplateError`."""
        if self._file is None:
            return
        if self._watch is not None:
            # What is saved from here on is new, however long the start takes.
            await self._watch.look()
        settings = self._settings
        self._desired = await self._file.read(
            f"http://{settings.api}", f"http://{settings.ingress}"
        )

    async def start(self, addresses: Mapping[str, str]) -> None:
        """Apply what was read; `addresses` are this router's own. Raises `RouterError`."""
        if self._file is None or self._desired is None:
            return
        self._addresses = addresses
        if any(it.endswith(":0") for it in (self._settings.api, self._settings.ingress)):
            # Only now is it known which free ports the addresses in it have.
            self._desired = await self._file.read(addresses["api"], addresses["ingress"])
        await self._apply(self._desired)
        self._keep("ok")

    @property
    def is_watching(self) -> bool:
        """Whether there is anything to follow."""
        return self._watch is not None

    async def follow(self) -> None:
        """Apply each save, for ever."""
        if self._watch is not None:
            await self._watch.run()

    async def _reload(self) -> bool:
        """After a save; False when trying again may help although nothing else is saved."""
        if self._file is None:
            return True
        try:
            addresses = self._addresses
            desired = await self._file.read(addresses["api"], addresses["ingress"])
            await self._apply(desired)
        except (RouterError, OSError) as error:
            log.error("template_not_applied", error=str(error))
            self._tell("failed", str(error))
            return isinstance(error, TemplateError)
        except Exception as error:
            log.error("template_not_applied", error=repr(error), exc_info=error)
            self._tell("failed", f"an internal error: {error!r}")
            return False
        self._tell("ok")
        return True

    def _tell(self, result: Result, message: str = "") -> None:
        """Of a reload."""
        metrics.CONFIG_RELOADS.labels(result).inc()
        self._keep(result, message)

    def _keep(self, result: Result, message: str = "") -> None:
        now_ms = self._wall_ms()
        self.status = ReloadStatus(now_ms, result, message)
        metrics.CONFIG_RELOAD_OK.set(result == "ok")
        if result == "ok":
            metrics.CONFIG_RELOADED_AT.set(now_ms / 1000)
