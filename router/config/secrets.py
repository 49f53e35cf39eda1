"""Secrets: files of a folder, else variables; settings and templates hold references to them."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from router.model.errors import ConfigError

REFERENCE = re.compile(
    r"^\{\{resolve:(secretsmanager|ssm-secure|ssm):([A-Za-z0-9/_+=.@-]{1,200})\}\}$"
)
"""A dynamic reference to a secret; versions and JSON keys are not supported."""


def resolve_secret(text: str, secrets_dir: str, environ: Mapping[str, str] | None = None) -> str:
    """The value behind `{{resolve:secretsmanager:NAME}}`; any other text is itself.

    A file `NAME` in the secrets folder (one final newline is not part of it), else the variable
    `ROUTER_SECRET_<NAME>` (`design.md` 5). Raises `ConfigError` naming both places.
    """
    match = REFERENCE.match(text)
    if match is None:
        return text
    name = match.group(2)
    variable = "ROUTER_SECRET_" + re.sub(r"[^A-Za-z0-9]", "_", name).upper()
    if secrets_dir and ".." not in Path(name).parts:
        path = Path(secrets_dir) / name.lstrip("/")
        try:
            if path.is_file():
                return path.read_text("utf-8").removesuffix("\n")
        except OSError as error:
            raise ConfigError(f"secret {name!r} cannot be read: {path}: {error.strerror}") from None
        except UnicodeDecodeError:  # its text would show the secret
            raise ConfigError(f"secret {name!r} is no UTF-8 text: {path}") from None
    source = os.environ if environ is None else environ
    for candidate in (variable, f"ROUTER_SECRET_{name}"):
        if candidate in source:
            return source[candidate]
    where = f"file {name!r} in {secrets_dir!r}" if secrets_dir else "ROUTER_SECRETS_DIR is not set"
    raise ConfigError(f"secret {name!r} is nowhere: {where}, and {variable} is not set either")
