"""Media types, as `Content-Type` names them."""

from typing import Final

FORM: Final = "application/x-www-form-urlencoded"

FORM_BYTES_MAX: Final = 256 * 1024
"""Largest form that is read: percent signs are slow to undo, and senders' forms are kilobytes."""

FORM_FIELDS_MAX: Final = 1_000
"""Most fields of one form."""


def media_type(content_type: str | None) -> str:
    """Type and subtype in lower case, without parameters; empty when there is none."""
    return (content_type or "").partition(";")[0].strip().lower()
