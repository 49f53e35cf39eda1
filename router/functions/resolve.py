"""From a function as it is stored to the version that runs."""

from router.model.arn import function_arn
from router.model.errors import NotFound, NotInvoked
from router.model.function import FunctionVersion
from router.model.log_settings import default_group, log_settings
from router.model.resources import Function
from router.store.catalog import Catalog

LATEST = "$LATEST"


def version_of(function: Function, region: str, account: str) -> FunctionVersion:
    """What an environment needs to run the function's `$LATEST`."""
    logs = log_settings(function.name, function.extra.get("LoggingConfig"))
    return FunctionVersion(
        name=function.name,
        arn=function_arn(region, account, function.name),
        runtime=function.runtime,
        handler=function.handler,
        code_path=function.code_path,
        code_hash=function.code_hash,
        layers_path=function.layers_path,
        timeout_ms=function.timeout_s * 1000,
        memory_mb=function.memory_mb,
        ephemeral_mb=function.ephemeral_mb,
        environment=function.environment,
        file_systems=function.file_systems,
        log_group=logs.group or default_group(function.name),
        logs=logs,
        revision=function.revision_id,
    )


def has_qualifier(function: Function, qualifier: str | None) -> bool:
    """Whether the function has this version or alias; no qualifier is `$LATEST`."""
    return qualifier is None or qualifier == LATEST or qualifier in function.aliases


class FunctionResolver:
    """Looks functions up by name and qualifier in the catalog."""

    def __init__(self, catalog: Catalog, region: str, account: str) -> None:
        self._catalog = catalog
        self._region = region
        self._account = account
        self._made: dict[str, tuple[Function, FunctionVersion]] = {}

    def get(self, name: str, qualifier: str | None = None) -> FunctionVersion:
        """The version to run. Raises `NotFound`."""
        function = self._catalog.functions.get(name)
        if function is None or not has_qualifier(function, qualifier):
            raise NotFound(f"function {name}{':' + qualifier if qualifier else ''} does not exist")
        made = self._made.get(name)
        if made is None or made[0] is not function:
            made = (function, version_of(function, self._region, self._account))
            self._made[name] = made
        return made[1]

    def get_for_mapping(self, name: str, qualifier: str | None) -> FunctionVersion:
        """As `get`, for a mapping. Raises `NotInvoked("function_missing")`."""
        try:
            return self.get(name, qualifier)
        except NotFound as error:
            raise NotInvoked("function_missing", str(error)) from None
