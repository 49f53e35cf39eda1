"""Which operation of a REST service a method and path name."""

from typing import Final
from urllib.parse import unquote

import msgspec

from router.control.errors import Malformed
from router.control.model import ServiceModel

SEGMENTS_MAX: Final = 16
"""Deepest path any model has, with room; deeper ones match nothing."""


class Route(msgspec.Struct, frozen=True):
    """One operation's place: literal segments, labels as `{Name}`, and required query names."""

    operation: str
    method: str
    segments: tuple[str, ...]
    query: tuple[tuple[str, str], ...] = ()


class Routes:
    """All places of a service; a literal segment beats a label, more query beats less."""

    def __init__(self, model: ServiceModel) -> None:
        self._routes = sorted(
            (_route(name, place.method, place.uri) for name, place in model.operations.items()),
            key=lambda route: (
                [segment.startswith("{") for segment in route.segments],
                -len(route.query),
            ),
        )

    def find(
        self, method: str, path: str, query: list[tuple[str, str]]
    ) -> tuple[str, dict[str, str]] | None:
        """The operation and its decoded labels; None when nothing listens there.

        The path is split before it is decoded, so an ARN with `%2F` stays one label. A trailing
        slash is the same place: older SDKs send one for mappings (P32).
        """
        segments = tuple(path.strip("/").split("/"))
        if len(segments) > SEGMENTS_MAX:
            return None
        for route in self._routes:
            if route.method != method or len(route.segments) != len(segments):
                continue
            if not all(pair in query for pair in route.query):
                continue
            labels = _match(route.segments, segments)
            if labels is not None:
                return route.operation, labels
        return None


def _route(operation: str, method: str, uri: str) -> Route:
    path, _, query = uri.partition("?")
    pairs = tuple(
        (name, value)
        for name, _, value in (part.partition("=") for part in query.split("&"))
        if name
    )
    return Route(operation, method, tuple(path.strip("/").split("/")), pairs)


def _match(pattern: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    labels = {}
    for expected, given in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            if not given:
                return None
            labels[expected.strip("{}+")] = decode_label(given)
        elif expected != given:
            return None
    return labels


def decode_label(text: str) -> str:
    """One path segment, decoded once. Raises `Malformed` for what is not UTF-8."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Malformed("the path is not UTF-8") from None
