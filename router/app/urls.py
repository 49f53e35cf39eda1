"""Functions' URLs as people dial them."""

import ipaddress
from urllib.parse import urlsplit

from router.ingress.urls import HOST_MARK, PATH_START
from router.model.function_url import FunctionUrl


def url_text(url: FunctionUrl, region: str, base: str, ingress: str) -> str:
    """The URL of a function, with a slash at its end.

    `base` is where the settings say the ingress listener is reached from outside, `ingress` where
    it listens. Below a name the function has one of its own; an address has none below it, so
    there it is told by the path.
    """
    where = urlsplit(base or ingress)
    host = where.hostname or "localhost"
    if not base and _is_here(host):
        host = "localhost"
    port = f":{where.port}" if where.port is not None else ""
    if _is_address(host):
        shown = f"[{host}]" if ":" in host else host
        return f"{where.scheme}://{shown}{port}{PATH_START}{url.id}/"
    return f"{where.scheme}://{url.id}{HOST_MARK}{region}.{host}{port}/"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_here(host: str) -> bool:
    """An address of this machine alone, or every one it has."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
