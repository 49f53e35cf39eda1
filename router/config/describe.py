"""Says what each setting is: for `router settings`, `docs/settings.md` and refusals."""

import ast
import functools
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from router.config import tree
from router.config.load import Place, places, variable_of
from router.config.tree import FILE_ONLY, OPTIONS, SECTION_PREFIX, Settings

UNITS: Final = {"ms": "ms", "s": "s", "bytes": "bytes"}
"""What a name ends in, before `max` and `min`, tells its unit."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting, as people read of it."""

    name: str
    """As in `router.toml`."""
    variable: str
    """Empty: only in the file."""
    option: str
    """Of `router run` and `router serve`; empty without one."""
    must_be: str
    unit: str
    default: str
    meaning: str


def settings() -> list[Setting]:
    """Every setting in the order of the tree."""
    return [_setting(place) for place in places().values()]


def sections() -> Mapping[str, str]:
    """Section → what it is about."""
    hints = typing.get_type_hints(Settings)
    return {name: inspect.getdoc(hints[name]) or "" for name in SECTION_PREFIX}


def _setting(place: Place) -> Setting:
    owner = typing.get_type_hints(Settings)[place.section] if place.section else Settings
    return Setting(
        name=place.name,
        variable=variable_of(place),
        option=f"--{place.field.replace('_', '-')}" if place.name in OPTIONS else "",
        must_be=must_be(place.kind),
        unit=_unit(place.field),
        default=written(getattr(owner(), place.field)),
        meaning=_meanings()[owner.__name__, place.field],
    )


def value_of(setting: Setting, loaded: Settings) -> str:
    """What it is set to, as `router.toml` has it; of what holds secrets only their names."""
    section, _, field = setting.name.rpartition(".")
    value = getattr(getattr(loaded, section) if section else loaded, field)
    if setting.name in FILE_ONLY:
        value = dict.fromkeys(value, "…")
    return written(value)


def written(value: Any) -> str:
    """A value as `router.toml` has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}" = "{inner}"' for key, inner in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(written(inner) for inner in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def must_be(kind: Any) -> str:
    """What a value may be, to stand after "must be"."""
    base, meta = kind, None
    if typing.get_origin(kind) is typing.Annotated:
        base, meta = typing.get_args(kind)
    if meta is not None and meta.description:
        return str(meta.description)
    origin, inner = typing.get_origin(base), typing.get_args(base)
    if origin is typing.Literal:
        *most, last = (str(choice) for choice in inner)
        return f"{', '.join(most)} or {last}"
    if origin is tuple:
        return f"a list, each {must_be(inner[0])}"
    if origin is dict:
        return f"a table, each {must_be(inner[0])} → {must_be(inner[1])}"
    if base in {int, float}:
        sort = "a whole number" if base is int else "a number"
        return f"{sort}{_bounds(meta)}"
    return "true or false" if base is bool else "text"


def _bounds(meta: msgspec.Meta | None) -> str:
    if meta is None:
        return ""
    if meta.ge is not None and meta.le is not None:
        return f" from {meta.ge} to {meta.le}"
    if meta.ge is not None:
        return f" from {meta.ge}"
    return f" above {meta.gt}" if meta.gt is not None else ""


def _unit(field: str) -> str:
    words = [word for word in field.split("_") if word not in {"max", "min"}]
    return UNITS.get(words[-1], "")


@functools.cache
def _meanings() -> Mapping[tuple[str, str], str]:
    """(class, field) → the text below the field."""
    found = {}
    for node in ast.parse(inspect.getsource(_module())).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for before, after in zip(node.body, node.body[1:], strict=False):
            if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
                text = _text(after)
                if text:
                    found[node.name, before.target.id] = text
    return found


def _module() -> types.ModuleType:
    return tree


def _text(node: ast.stmt) -> str:
    """The text of a statement that is only a text, on one line."""
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return " ".join(text.split())
        case _:
            return ""
