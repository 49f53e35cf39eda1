"""What lies in `/opt/extensions`: the files to be launched, as Lambda lists them."""

import os
import stat
from pathlib import Path
from typing import Final

from router.model.errors import RouterError
from router.workers.extensions.subscriptions import HOSTS

FOLDER: Final = "extensions"
"""Below a function's layers."""

HOSTS_FILE: Final = "/etc/hosts"

NAMES_MAX: Final = 100
"""Files looked at; from the eleventh on it is an error of the function anyway."""


class UnusableName(RouterError):
    """A file there has a name that no header can carry."""

    code = "unusable_extension"


def names(layers_path: str) -> tuple[str, ...]:
    """The files there, sorted; folders among them are passed over, as on Lambda.

    A file that cannot be run is among them: it is an error to have one. Raises `UnusableName`.
    """
    if not layers_path:
        return ()
    found = []
    try:
        with os.scandir(f"{layers_path}/{FOLDER}") as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    found.append(entry.name)
                if len(found) >= NAMES_MAX:
                    break
    except (FileNotFoundError, NotADirectoryError):
        return ()
    for name in found:
        if not (name.isascii() and name.isprintable()):
            raise UnusableName(
                f"the layers hold /opt/extensions/{name!r}: the name of an extension has to be "
                "printable ASCII, since it is sent as a header"
            )
    return tuple(sorted(found))


def opt_in(root: str) -> str:
    """The folder `/opt` of an unpacked image, if extensions may lie in it; else empty.

    No link is followed: outside of the image's root it would lead into the host.
    """
    for path in (f"{root}/opt", f"{root}/opt/{FOLDER}"):
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            return ""
        if not stat.S_ISDIR(mode) or not os.access(path, os.R_OK | os.X_OK):
            return ""
    return f"{root}/opt"


def hosts_changed_ns() -> int:
    """When the host's names were changed last; 0: it has none."""
    try:
        return Path(HOSTS_FILE).stat().st_mtime_ns
    except OSError:
        return 0


def hosts() -> str:
    """The host's names, and those by which Lambda's extensions listen for telemetry."""
    try:
        text = Path(HOSTS_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return f"{text.rstrip()}\n127.0.0.1 {' '.join(sorted(HOSTS - {'localhost'}))}\n"


def environment(variables: dict[str, str]) -> dict[str, str]:
    """The variables of an extension, from those of the runtime (8.4)."""
    return {
        name: text
        for name, text in variables.items()
        if not name.startswith("_") and name != "AWS_XRAY_CONTEXT_MISSING"
    }
