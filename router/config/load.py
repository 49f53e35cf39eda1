"""Reads settings: `router.toml`, then the environment, then the command line; later wins.

What is not known, or is no value of its setting, is refused with the place it came from.
"""

import functools
import re
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from router.config import kubernetes
from router.config.tree import FILE_ONLY, SECTION_PREFIX, Settings
from router.model.errors import ConfigError
from router.model.nearest import did_you_mean

PREFIX: Final = "ROUTER_"

PORT_MAX: Final = 65_535

OTHER_VARIABLES: Final = frozenset({"ROUTER_CHAOS", "ROUTER_ENDPOINT"})
"""Variables with our prefix that are not settings: fault injection, the CLI's endpoint."""

OTHER_PREFIXES: Final = ("ROUTER_SECRET_",)

_Tree = dict[str, Any]


class Place(msgspec.Struct, frozen=True):
    """Where a setting sits in the tree; the section is empty for those at the top."""

    section: str
    field: str
    kind: Any
    """Its annotated type."""

    @property
    def name(self) -> str:
        """As in `router.toml`."""
        return f"{self.section}.{self.field}" if self.section else self.field


class Loaded(msgspec.Struct, frozen=True):
    """Settings and where each that was given came from."""

    settings: Settings
    origins: Mapping[str, str]
    """Name, such as `store.bytes_max` → file, variable or option. A default has none."""


def load(
    environ: Mapping[str, str],
    options: Mapping[str, Any] | None = None,
    file: Path | None = None,
) -> Settings:
    """Settings from file, environment and options. Raises `ConfigError` naming the culprit."""
    return read(environ, options, file).settings


def read(
    environ: Mapping[str, str],
    options: Mapping[str, Any] | None = None,
    file: Path | None = None,
) -> Loaded:
    """As `load`, with origins."""
    tree: _Tree = {}
    origins: dict[str, str] = {}
    if file is not None:
        tree = _read_file(file)
        _note_file(tree, file, origins)
    for name, text in environ.items():
        if (place := _place_of(name, text, environ)) is not None:
            _put(tree, place, _from_text(name, text, place.kind))
            origins[place.name] = name
    for name, value in (options or {}).items():
        if value is not None:
            tree[name] = value
            origins[name] = f"--{name.replace('_', '-')}"
    if "region" not in tree:
        tree["region"] = environ.get("AWS_REGION") or "us-east-1"
        if environ.get("AWS_REGION"):
            origins["region"] = "AWS_REGION"
    try:
        settings = msgspec.convert(tree, Settings, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), tree, origins)) from None
    _check_ports(settings, origins)
    return Loaded(settings, origins)


@functools.cache
def places() -> Mapping[str, Place]:
    """Every setting by its name in `router.toml`."""
    found = {}
    for field, kind in typing.get_type_hints(Settings, include_extras=True).items():
        if field in SECTION_PREFIX:
            for inner, inner_kind in typing.get_type_hints(kind, include_extras=True).items():
                place = Place(field, inner, inner_kind)
                found[place.name] = place
        else:
            found[field] = Place("", field, kind)
    return found


def variable_of(place: Place) -> str:
    """The variable of a setting; empty when only the file may hold it."""
    if place.name in FILE_ONLY:
        return ""
    section = f"{SECTION_PREFIX[place.section]}_" if place.section else ""
    return f"{PREFIX}{section}{place.field.upper()}"


@functools.cache
def variables() -> Mapping[str, Place]:
    """Every setting by its variable."""
    return {name: place for place in places().values() if (name := variable_of(place))}


def _put(tree: _Tree, place: Place, value: Any) -> None:
    if not place.section:
        tree[place.field] = value
        return
    section = tree.setdefault(place.section, {})
    if isinstance(section, dict):  # else it is refused for what the file has there
        section[place.field] = value


# The environment


def _place_of(name: str, text: str, environ: Mapping[str, str]) -> Place | None:
    """The setting behind a variable; None for what is not meant for us."""
    if not name.startswith(PREFIX) or text == "":
        return None
    if (place := variables().get(name)) is not None:
        return place
    if name in OTHER_VARIABLES or name.startswith(OTHER_PREFIXES):
        return None
    if kubernetes.is_service_variable(name, environ):
        return None
    known = {it.removeprefix(PREFIX) for it in (*variables(), *OTHER_VARIABLES)}
    hint = did_you_mean(name.removeprefix(PREFIX), sorted(known), likeness=0.5)
    hint = hint.replace("mean ", f"mean {PREFIX}")
    hint = hint or "`router settings` lists all there are"
    if (only := name.removeprefix(PREFIX).lower()) in FILE_ONLY:
        hint = f"{only} can be set in router.toml only"
    raise ConfigError(f"settings: unknown environment variable {name}; {hint}")


def _from_text(name: str, text: str, kind: Any) -> Any:
    kind = _bare(kind)
    if typing.get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if typing.get_origin(kind) is dict:
        return _pairs(name, text)
    if kind is bool:
        if text.lower() not in {"1", "true", "yes", "0", "false", "no"}:
            raise ConfigError(f"settings: {name} must be true or false, not {text!r}")
        return text.lower() in {"1", "true", "yes"}
    if kind in {int, float}:
        try:
            return kind(text)
        except ValueError:
            sort = "a whole number" if kind is int else "a number"
            raise ConfigError(f"settings: {name} must be {sort}, not {text!r}") from None
    return text


def _bare(kind: Any) -> Any:
    """A type without its bounds."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind


def _pairs(name: str, text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in text.split(","):
        key, is_pair, value = part.strip().partition("=")
        if not is_pair or not key or not value:
            raise ConfigError(f"settings: {name} must be NAME=VALUE,NAME=VALUE, not {text!r}")
        if key in pairs:
            raise ConfigError(f"settings: {name} has {key} twice")
        pairs[key] = value
    return pairs


# The file


def _read_file(file: Path) -> _Tree:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"settings: cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"settings: cannot read {file}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"settings: {file} is not TOML: {error}") from None


def _note_file(tree: _Tree, file: Path, origins: dict[str, str]) -> None:
    """Where everything in it came from. Raises `ConfigError` for what is not known."""
    for name, value in tree.items():
        if name in SECTION_PREFIX and isinstance(value, dict):
            for inner in value:
                _check_known(f"{name}.{inner}", file)
                origins[f"{name}.{inner}"] = str(file)
        else:
            _check_known(name, file)
            origins[name] = str(file)


def _check_known(name: str, file: Path) -> None:
    if name in places() or name in SECTION_PREFIX:
        return
    section, _, last = name.rpartition(".")
    every = places().values()
    elsewhere = [place.name for place in every if place.field == last]
    beside = [place.name for place in every if place.section == section]
    hint = (
        did_you_mean(name, elsewhere, likeness=0)
        or did_you_mean(name, beside)
        or did_you_mean(name, [*places(), *SECTION_PREFIX])
        or "`router settings` lists all there are"
    )
    raise ConfigError(f"settings: unknown setting {name} in {file}; {hint}")


# What is wrong with a value


def _explain(text: str, tree: _Tree, origins: Mapping[str, str]) -> str:
    """What the converter says, as people need it: what, where, what it must be."""
    found = re.search(r"`?\$\.([a-z_]+)(?:\.([a-z_]+))?", text)
    if found is None:
        return f"settings: {text}"
    section, field = (found[1], found[2]) if found[1] in SECTION_PREFIX else ("", found[1])
    place = places().get(f"{section}.{field}" if section and field else field or section)
    if place is None:  # a section that is none
        where = f" ({origins[section]})" if section in origins else ""
        return f"settings: {section}{where} is a section: write it as [{section}]"
    from router.config.describe import must_be

    origin = origins.get(place.name, "")
    where = f" ({origin})" if origin else ""
    value = tree.get(section, {}).get(field) if section else tree.get(place.field)
    shown = "" if place.name in FILE_ONLY else f", not {_written(value)}"
    return f"settings: {place.name}{where} must be {must_be(place.kind)}{shown}"


def _written(value: Any) -> str:
    """A value as it is written in a file or a variable."""
    if isinstance(value, tuple | list):
        return repr(",".join(str(part) for part in value))
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _check_ports(settings: Settings, origins: Mapping[str, str]) -> None:
    for name in ("api", "ingress", "ops"):
        where = getattr(settings, name)
        if int(where.rpartition(":")[2]) > PORT_MAX:
            origin = f" ({origins[name]})" if name in origins else ""
            raise ConfigError(f"settings: {name}{origin} is {where}, but ports end at {PORT_MAX}")
