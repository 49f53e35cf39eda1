"""Check parameters against the model's constraints, in AWS's own words.

botocore checks `required`, types and minima on the client's side only; a server must check them
all (`functions-and-invocation.md` 1, "Constraint phrases").
"""

from functools import lru_cache
from typing import Any, Final

from router.control.errors import ValidationFailed
from router.control.model import ServiceModel, Shape, compile_pattern

PATTERN_CHARACTERS_MAX: Final = 20_000
"""Longer texts break a length limit anyway and are not matched."""

REMEMBERED_CHARACTERS_MAX: Final = 256
"""Longest text of which is remembered whether it fits a pattern."""

NULL: Final = "Member must not be null"


def validate(model: ServiceModel, shape_name: str | None, params: dict[str, Any]) -> None:
    """Raise `ValidationFailed` with every broken constraint, in the model's order."""
    problems: list[str] = []
    _structure(model, model.shape(shape_name), params, "", problems)
    if problems:
        raise ValidationFailed(problems)


def _structure(
    model: ServiceModel, shape: Shape, value: dict[str, Any], path: str, problems: list[str]
) -> None:
    for name, member in shape.members.items():
        if name in value:
            _value(model, model.shapes[member.shape], value[name], _below(path, name), problems)
        elif name in shape.required:
            problems.append(_problem("null ", _below(path, name), NULL))


def _value(model: ServiceModel, shape: Shape, value: Any, path: str, problems: list[str]) -> None:
    if value is None:
        problems.append(_problem("null ", path, NULL))
        return
    if shape.type == "structure":
        _structure(model, shape, value, path, problems)
        return
    if phrases := broken(shape, value):
        shown = _shown(value, shape)
        problems.extend(_problem(shown, path, phrase) for phrase in phrases)
    if shape.type == "list" and shape.member is not None:
        element = model.shapes[shape.member.shape]
        if element.type in {"structure", "list", "map"}:
            for number, item in enumerate(value, 1):
                _value(model, element, item, f"{path}.{number}.member", problems)
        elif any(item is None or broken(element, item) for item in value):
            shown = _shown(value, shape, element)
            problems.append(_problem(shown, path, _nested("Member", element)))
    elif shape.type == "map" and shape.key is not None and shape.value is not None:
        _map(model, shape, value, path, problems)


def _map(
    model: ServiceModel, shape: Shape, value: dict[str, Any], path: str, problems: list[str]
) -> None:
    if shape.key is None or shape.value is None:
        return
    keys, values = model.shapes[shape.key.shape], model.shapes[shape.value.shape]
    if any(broken(keys, key) for key in value):
        shown = _shown(value, shape, keys, values)
        problems.append(_problem(shown, path, _nested("Map keys", keys)))
    if values.type in {"structure", "list", "map"}:
        for key, item in value.items():
            _value(model, values, item, f"{path}.{key}.member", problems)
    elif any(item is None or broken(values, item) for item in value.values()):
        shown = _shown(value, shape, keys, values)
        problems.append(_problem(shown, path, _nested("Map value", values)))


def broken(shape: Shape, value: Any) -> list[str]:
    """The phrases of the constraints a value breaks, itself and not what it holds."""
    if isinstance(value, bool):
        return []
    size = value if isinstance(value, int | float) else len(value)
    phrases = []
    if shape.max is not None and size > shape.max:
        phrases.append(_bound(shape, "less", shape.max))
    if shape.min is not None and size < shape.min:
        phrases.append(_bound(shape, "greater", shape.min))
    if shape.pattern is not None and isinstance(value, str) and not _matches(shape.pattern, value):
        phrases.append(f"Member must satisfy regular expression pattern: {shape.pattern}")
    if shape.enum and value not in shape.enum:
        phrases.append(_enum(shape))
    return phrases


def _matches(pattern: str, value: str) -> bool:
    if len(value) > PATTERN_CHARACTERS_MAX:
        return False
    if len(value) <= REMEMBERED_CHARACTERS_MAX:
        return _is_matched(pattern, value)
    return compile_pattern(pattern).fullmatch(value) is not None


@lru_cache(maxsize=2_048)
def _is_matched(pattern: str, value: str) -> bool:
    """Names and ARNs come again and again."""
    return compile_pattern(pattern).fullmatch(value) is not None


def _nested(subject: str, shape: Shape) -> str:
    """Elements are reported with all their constraints, not only the broken ones."""
    phrases = []
    if shape.max is not None:
        phrases.append(_bound(shape, "less", shape.max))
    if shape.min is not None:
        phrases.append(_bound(shape, "greater", shape.min))
    if shape.pattern is not None:
        phrases.append(f"Member must satisfy regular expression pattern: {shape.pattern}")
    if shape.enum:
        phrases.append(_enum(shape))
    phrases.append(NULL)
    return f"{subject} must satisfy constraint: [{', '.join(phrases)}]"


def _bound(shape: Shape, direction: str, limit: float) -> str:
    what = "value" if shape.type in {"integer", "long", "double", "float"} else "length"
    number = float(limit) if shape.type in {"double", "float"} else int(limit)
    return f"Member must have {what} {direction} than or equal to {number}"


def _enum(shape: Shape) -> str:
    return f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


def _problem(shown: str, path: str, phrase: str) -> str:
    return f"Value {shown}at '{path}' failed to satisfy constraint: {phrase}"


def _shown(value: Any, *shapes: Shape) -> str:
    """Nothing of what the model calls sensitive, such as a function's variables."""
    return "" if any(shape.sensitive for shape in shapes) else f"'{show(value)}' "


def show(value: Any) -> str:
    """A value as AWS prints it: `[a, b]`, `{k=v}`, `true`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(show(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={show(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bytes):
        return "java.nio.HeapByteBuffer"
    return "null" if value is None else str(value)


def _below(path: str, name: str) -> str:
    """`UUID` stays readable as `uUID` in AWS's texts: only the first letter is lowered."""
    lowered = name[:1].lower() + name[1:]
    return f"{path}.{lowered}" if path else lowered
