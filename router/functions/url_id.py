"""Ids of functions' URLs."""

import secrets
import string
from typing import Final

from router.model.function_url import ID_LENGTH

_LETTERS: Final = string.ascii_lowercase + string.digits


def new_url_id() -> str:
    """One nobody has had or can guess."""
    return "".join(secrets.choice(_LETTERS) for _ in range(ID_LENGTH))
