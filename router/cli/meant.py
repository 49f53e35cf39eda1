"""Which function a person means who types a name: the function's own, or its template's for it."""

import re
import urllib.parse
from collections.abc import Iterator, Sequence

import click

from router.cli.client import Client


def meant(text: str, known: Sequence[str]) -> str:
    """The function of this name; else the one that a template made for this logical id.

    What is neither stays as it is. Raises `UsageError` when several templates have it.
    """
    if text in known:
        return text
    found = [name for name in known if _is_of(name, text)]
    if len(found) > 1:
        raise click.UsageError(f"{text} is several functions: {', '.join(sorted(found))}")
    return found[0] if found else text


def function_names(client: Client) -> Iterator[str]:
    """Every function of a router. Raises `CallFailed`."""
    marker = ""
    while True:
        query = f"?Marker={urllib.parse.quote(marker, safe='')}" if marker else ""
        page = client.rest("GET", f"/2015-03-31/functions/{query}")
        yield from (item["FunctionName"] for item in page["Functions"])
        marker = page.get("NextMarker") or ""
        if not marker:
            return


def _is_of(name: str, logical_id: str) -> bool:
    """Whether a template made the name for the logical id, with its stack before it.

    A name that had to be shortened does not tell.
    """
    from router.template.names import physical_name

    found = re.fullmatch(rf"(.+)-{re.escape(logical_id)}-[A-Z2-7]+", name)
    return found is not None and name == physical_name(found[1], logical_id, len(name))
