"""Facts fixed in a data folder when it is first used, and how to find who runs on it."""

import json
import os
import secrets
from pathlib import Path

from router.config import Settings
from router.model.errors import ConfigError

IDENTITY_FILE = "identity.json"
ADDRESS_FILE = "address.json"

RESTORING = ".restoring"
"""In a data folder while a back-up is unpacked there."""


def claim(settings: Settings) -> Path:
    """Make the data folder, or check that it is of this region and account.

    ARNs are stored, so neither may change. Raises `ConfigError`.
    """
    data = Path(settings.data).absolute()
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the data folder {data} cannot be made: {error.strerror}; choose another with --data "
            "or ROUTER_DATA"
        ) from None
    _refuse_half_restored(data)
    try:
        if not (data / IDENTITY_FILE).exists():
            write_private(data / IDENTITY_FILE, _wanted(settings))
            return data
    except OSError as error:
        raise ConfigError(
            f"the data folder {data} cannot be written: {error.strerror}; the user {os.geteuid()} "
            "must own it, or choose another with --data or ROUTER_DATA"
        ) from None
    return read(settings)


def read(settings: Settings) -> Path:
    """Check a data folder without making one. Raises `ConfigError` when it is another's."""
    data = Path(settings.data).absolute()
    path = data / IDENTITY_FILE
    _refuse_half_restored(data)
    if not path.exists():
        return data
    try:
        found = json.loads(path.read_text("utf-8"))
        is_whole = isinstance(found, dict)
    except (OSError, ValueError):
        is_whole = False
    if not is_whole:
        raise ConfigError(
            f"{path} cannot be read: it says which region and account the folder belongs to, "
            f"such as {json.dumps(_wanted(settings))}"
        )
    if found != _wanted(settings):
        raise ConfigError(
            f"{data} belongs to region {found.get('region')}, account {found.get('account')}; "
            f"settings say region {settings.region}, account {settings.account}. Use another "
            "data folder, or set ROUTER_REGION and ROUTER_ACCOUNT back"
        )
    return data


def _refuse_half_restored(data: Path) -> None:
    if (data / RESTORING).exists():
        raise ConfigError(
            f"{data} holds a back-up that was not restored to its end: wait for `router restore`, "
            "or empty the folder and restore again"
        )


def _wanted(settings: Settings) -> dict[str, str]:
    return {"region": settings.region, "account": settings.account}


def write_private(path: Path, value: object) -> None:
    """Write JSON that only this user may read, at once or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.write("\n")
    temporary.replace(path)
