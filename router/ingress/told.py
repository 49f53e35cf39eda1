"""What the router tells its ingress process of webhooks: those that changed, and their secrets.

The process is told values, in memory, of those references alone that its webhooks use: it needs
neither the folder nor the environment they come from.
"""

from collections.abc import Callable, Collection, Iterable

from router.ingress.frames import Routes, Secret
from router.ingress.route import Route, make_routes
from router.model.errors import ConfigError
from router.model.webhook import WebhookSpec


def look_up(references: Iterable[str], resolve: Callable[[str], str]) -> dict[str, Secret]:
    """Each reference and what it stands for now. May read files."""
    return {text: _look_up(text, resolve) for text in references}


def _look_up(text: str, resolve: Callable[[str], str]) -> Secret:
    try:
        return Secret(resolve(text))
    except ConfigError as error:
        return Secret(None, str(error))
    except (OSError, UnicodeDecodeError) as error:
        # A decoding error's text would show the secret.
        return Secret(None, type(error).__name__)


class Told:
    """All webhooks as they are, and from one version to the next what is news."""

    def __init__(self, resolve_secret: Callable[[str], str]) -> None:
        """`resolve_secret` gives a secret's value or raises `ConfigError`; may read files."""
        self.version = 0
        self.routes: dict[str, Route] = {}
        self._resolve_secret = resolve_secret
        self._secrets: dict[str, Secret] = {}

    def everything(self) -> Routes:
        """For a process that knows nothing yet."""
        specs = [route.spec for route in self.routes.values()]
        return Routes(self.version, specs, [], dict(self._secrets), [])

    def set_webhooks(self, specs: Iterable[WebhookSpec]) -> Routes | None:
        """Swap all webhooks; what is news of it, if anything.

        Raises `ConfigError` and changes nothing when one is wrong.
        """
        before = {route.spec.arn: route.spec for route in self.routes.values()}
        self.routes = make_routes(specs, self.routes.values(), self._resolve_secret)
        after = {route.spec.arn: route.spec for route in self.routes.values()}
        references = self.references()
        forgotten = [*self._secrets.keys() - references]
        for text in forgotten:
            del self._secrets[text]
        missing = {*self.unusable(), *references - self._secrets.keys()}
        return self._news(
            changed=[spec for arn, spec in after.items() if before.get(arn) != spec],
            removed=[*before.keys() - after.keys()],
            found=look_up(missing, self._resolve_secret),
            forgotten=forgotten,
        )

    def learn(self, found: dict[str, Secret]) -> Routes | None:
        """Take in secrets that were looked up again; what is news of it, if anything."""
        still = self.references()
        return self._news(found={text: found[text] for text in found if text in still})

    def references(self) -> set[str]:
        """To the secrets of all webhooks."""
        return {text for route in self.routes.values() for text in route.spec.signature.secrets}

    def unusable(self) -> Collection[str]:
        """Those references that stand for nothing so far."""
        return {text for text, secret in self._secrets.items() if secret.value is None}

    def _news(
        self,
        found: dict[str, Secret],
        changed: Iterable[WebhookSpec] = (),
        removed: Iterable[str] = (),
        forgotten: Iterable[str] = (),
    ) -> Routes | None:
        secrets = {text: new for text, new in found.items() if self._secrets.get(text) != new}
        self._secrets |= secrets
        routes = Routes(self.version + 1, [*changed], [*removed], secrets, [*forgotten])
        if not (routes.changed or routes.removed or routes.secrets or routes.forgotten):
            return None
        self.version = routes.version
        return routes
