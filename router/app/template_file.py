"""The template a router was started with: read, read again after a save.

What reads templates is imported when there is one: an idle router is smaller without it.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from router.config import Settings, resolve_secret
from router.template.desired import DesiredState


class TemplateFile:
    """One template with its parameters."""

    def __init__(
        self,
        path: Path,
        parameters: Mapping[str, str],
        settings: Settings,
        stack_name: str | None = None,
        *,
        needs_secrets: bool = False,
    ) -> None:
        """`needs_secrets`: each secret that it names must be there."""
        self._path = path
        self._parameters = parameters
        self._settings = settings
        self._stack_name = stack_name
        self._needs_secrets = needs_secrets
        self._known: tuple[tuple[int, int, int], set[Path]] | None = None

    async def read(self, api_url: str, ingress_url: str) -> DesiredState:
        """What it says. Raises `TemplateError`."""
        from router.template.load import load_template

        return await asyncio.to_thread(
            load_template,
            self._path,
            self._parameters,
            stack_name=self._stack_name,
            region=self._settings.region,
            account=self._settings.account,
            api_url=api_url,
            ingress_url=ingress_url,
            url_base=self._settings.url_base,
            has_queues=self._settings.sqs == "embedded",
            secret_of=self._secret_of if self._needs_secrets else None,
        )

    def files(self) -> set[Path]:
        """Itself, the code folders it names and the secrets' folder.

        They are looked up again only when it was written.
        """
        from router.template.load import files_of

        try:
            facts = self._path.stat()
            written = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
        except OSError:
            written = (0, 0, 0)
        if self._known is None or self._known[0] != written:
            found = files_of(self._path, self._parameters, region=self._settings.region)
            if self._settings.secrets_dir:
                found.add(Path(self._settings.secrets_dir).absolute())
            self._known = written, found
        return self._known[1]

    def _secret_of(self, reference: str) -> str:
        return resolve_secret(reference, self._settings.secrets_dir)
