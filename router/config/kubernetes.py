"""Variables that Kubernetes adds to every container of a namespace, for each of its Services.

A Service `router-api` makes `ROUTER_API_SERVICE_HOST`, `ROUTER_API_PORT=tcp://…` and more: nobody
wrote them, and they are no settings. They come together, and that is how they are told from a
setting that somebody misspelt.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Final

_PROTOCOLS: Final = "TCP|UDP|SCTP"

_SERVICE: Final = re.compile(r"(ROUTER(?:_[A-Z0-9_]+)?)_SERVICE_HOST")

_ENDING: Final = re.compile(
    r"(?P<host>SERVICE_HOST)"
    r"|(?P<port>SERVICE_PORT(?:_[A-Z0-9_]+)?)"
    rf"|(?P<url>PORT(?:_\d+_(?:{_PROTOCOLS}))?)"
    rf"|PORT_\d+_(?:{_PROTOCOLS})_(?:(?P<protocol>PROTO)|(?P<number>PORT)|(?P<address>ADDR))"
)
_URL: Final = re.compile(rf"(?:{_PROTOCOLS})://\S+:\d{{1,5}}", re.IGNORECASE)
_PROTOCOL: Final = re.compile(_PROTOCOLS, re.IGNORECASE)
_NUMBER: Final = re.compile(r"\d{1,5}")


def is_service_variable(name: str, environ: Mapping[str, str]) -> bool:
    """Whether Kubernetes made this variable of a Service: by its name, its value and its kin."""
    return any(
        name.startswith(f"{service}_") and _is_of_one(name[len(service) + 1 :], environ[name])
        for service in _services(environ)
    )


def _services(environ: Mapping[str, str]) -> list[str]:
    """How the variables of each Service begin that has both of those which each has."""
    found = [match[1] for name in environ if (match := _SERVICE.fullmatch(name))]
    return [
        service
        for service in found
        if _is_address(environ[f"{service}_SERVICE_HOST"])
        and _NUMBER.fullmatch(environ.get(f"{service}_SERVICE_PORT", ""))
    ]


def _is_of_one(ending: str, text: str) -> bool:
    found = _ENDING.fullmatch(ending)
    if found is None:
        return False
    if found["host"] or found["address"]:
        return _is_address(text)
    if found["url"]:
        return _URL.fullmatch(text) is not None
    return (_PROTOCOL if found["protocol"] else _NUMBER).fullmatch(text) is not None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
