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
    literals: tuple[tuple[int, str], ...]
    """Where which text must stand."""
    labels: tuple[tuple[int, str], ...]
    """Where what is named so stands."""
    query: tuple[tuple[str, str], ...] = ()


class Routes:
    """All places of a service; a literal segment beats a label, more query beats less."""

    def __init__(self, model: ServiceModel) -> None:
        routes = sorted(
            (_route(name, place.method, place.uri) for name, place in model.operations.items()),
            key=lambda route: (
                [segment.startswith("{") for segment in route.segments],
                -len(route.query),
            ),
        )
        self._routes: dict[tuple[str, int, str], list[Route]] = {}
        """In that order, by method, how many segments, and the first of them (empty: a label)."""
        for route in routes:
            first = route.segments[0]
            key = (route.method, len(route.segments), "" if first.startswith("{") else first)
            self._routes.setdefault(key, []).append(route)

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
        for first in (segments[0], ""):
            for route in self._routes.get((method, len(segments), first), ()):
                if not route.query or all(pair in query for pair in route.query):
                    labels = _match(route, segments)
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
    segments = tuple(path.strip("/").split("/"))
    is_label = [segment.startswith("{") for segment in segments]
    return Route(
        operation,
        method,
        segments,
        tuple((at, text) for at, text in enumerate(segments) if not is_label[at]),
        tuple((at, text.strip("{}+")) for at, text in enumerate(segments) if is_label[at]),
        pairs,
    )


def _match(route: Route, segments: tuple[str, ...]) -> dict[str, str] | None:
    for at, text in route.literals:
        if segments[at] != text:
            return None
    labels = {}
    for at, name in route.labels:
        if not segments[at]:
            return None
        labels[name] = decode_label(segments[at])
    return labels


def decode_label(text: str) -> str:
    """One path segment, decoded once. Raises `Malformed` for what is not UTF-8."""
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Malformed("the path is not UTF-8") from None
