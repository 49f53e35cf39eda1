"""Media types, as `Content-Type` names them."""

FORM = "application/x-www-form-urlencoded"


def media_type(content_type: str | None) -> str:
    """Type and subtype in lower case, without parameters; empty when there is none."""
    return (content_type or "").partition(";")[0].strip().lower()
