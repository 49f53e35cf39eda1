"""What somebody may have meant who wrote a name that there is not."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """`did you mean X?` or nothing; `likeness` is from 0 to 1."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=likeness)
    if not close:
        lower = {name.lower(): name for name in names}
        close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=likeness)
        close = [lower[name] for name in close]
    return f"did you mean {close[0]}?" if close else ""
