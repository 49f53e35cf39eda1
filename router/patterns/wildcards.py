"""`*` patterns, matched in linear time."""

from typing import Final

from router.patterns.problems import PatternError

_STAR: Final = ord("*")
_ESCAPE: Final = ord("\\")


def split_wildcard(text: str) -> tuple[str, ...]:
    r"""The literal parts between the stars; one part: there is no star.

    `\*` and `\\` are the only escapes. Raises `PatternError`; positions count bytes from the
    opening quote on.
    """
    parts: list[bytearray] = [bytearray()]
    quoted = f'"{text}"'.encode("utf-8", "surrogatepass")
    at = 1
    while at < len(quoted) - 1:
        byte, following = quoted[at], quoted[at + 1]
        if byte == _STAR:
            if following == _STAR:
                raise PatternError(f"Consecutive wildcard characters at pos {at}")
            parts.append(bytearray())
        elif byte == _ESCAPE:
            if following not in (_STAR, _ESCAPE):
                raise PatternError(f"Invalid escape character at pos {at}")
            parts[-1].append(following)
            at += 1
        else:
            parts[-1].append(byte)
        at += 1
    return tuple(part.decode("utf-8", "surrogatepass") for part in parts)


def matches_parts(parts: tuple[str, ...], value: str) -> bool:
    """Whether a string is the parts in order with anything between them.

    Taking each part where it is first found is always right: what follows has the most room.
    """
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return value == first
    end = len(value) - len(last)
    at = len(first)
    if end < at or not value.startswith(first) or not value.endswith(last):
        return False
    for part in parts[1:-1]:
        found = value.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
