"""What is wrong with a template: all of it at once, each with its place and a hint."""

from collections.abc import Iterable, Mapping

import msgspec

from router.model.errors import TemplateError

Path = tuple[str | int, ...]
"""Where a value sits in a document: member names and list indexes."""

PROBLEMS_MAX = 100
"""Problems collected before reading stops."""


class Mark(msgspec.Struct, frozen=True):
    """A place in a file; both count from 1."""

    line: int
    column: int


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to correct. `property` is dotted, below the resource's `Properties`."""

    file: str
    line: int
    column: int
    section: str = ""
    """Resources, Parameters, Outputs …; empty for the file as a whole."""
    resource: str = ""
    """The logical id, or the member of another section."""
    property: str = ""
    text: str
    hint: str = ""

    def __str__(self) -> str:
        section = "" if self.section == "Resources" else self.section
        where = ".".join(part for part in (section, self.resource, self.property) if part)
        subject = f"{where}: " if where else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {subject}{self.text}{hint}"


class TemplateRefused(TemplateError):
    """A template with all that is wrong with it; the text has one line for each problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """At least one problem."""
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Places:
    """Finds the line of a path, also for what the SAM translation renamed or made."""

    def __init__(self, file: str, marks: Mapping[Path, Mark]) -> None:
        """`marks` as `read.read_text` gives them."""
        self.file = file
        self._marks = marks
        self._origins: dict[str, list[Path]] = {}
        self._aliases: dict[Path, Path] = {}

    def add_origin(self, logical_id: str, path: Path) -> None:
        """Say that what `logical_id` holds under Properties may be written below `path`."""
        self._origins.setdefault(logical_id, []).append(path)

    def add_alias(self, path: Path, written: Path) -> None:
        """Say that `path` and what is below it is written at another path."""
        self._aliases[path] = written

    def find(self, path: Path) -> Mark:
        """The mark of the path, or of the nearest thing around it that was written."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._aliases:
                path = (*self._aliases[path[:length]], *path[length:])
                break
        best, depth = Mark(1, 1), -1
        for candidate, common in self._candidates(path):
            for length in range(len(candidate), -1, -1):
                mark = self._marks.get(candidate[:length])
                if mark is not None:
                    reached = common + length
                    if reached > depth:
                        best, depth = mark, reached
                    break
        return best

    def _candidates(self, path: Path) -> Iterable[tuple[Path, int]]:
        yield path, 0
        if len(path) < 2 or path[0] != "Resources":
            return
        inner = path[3:]
        for origin in self._origins.get(str(path[1]), ()):
            # What counts is how much of the path was found below the origin.
            yield (*origin, *inner), 3 - len(origin)


class Problems:
    """Collects problems while a template is read. `raise_any` ends a stage."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._found: dict[str, Problem] = {}

    def add(self, path: Path, text: str, hint: str = "") -> None:
        """Note one; the same thing said twice counts once."""
        mark = self._places.find(path)
        section, resource, below = split_path(path)
        problem = Problem(
            file=self._places.file,
            line=mark.line,
            column=mark.column,
            section=section,
            resource=resource,
            property=below,
            text=text,
            hint=hint,
        )
        self._found.setdefault(str(problem), problem)
        if len(self._found) >= PROBLEMS_MAX:
            self.raise_any()

    def has(self, path: Path) -> bool:
        """Whether something is wrong with just this place already."""
        _, resource, below = split_path(path)
        return any(
            problem.resource == resource and problem.property == below
            for problem in self._found.values()
        )

    def has_any(self, path: Path) -> bool:
        """Whether something is wrong with this place, or with one below it."""
        _, resource, below = split_path(path)
        return any(
            problem.resource == resource
            and (
                problem.property == below or problem.property.startswith((f"{below}.", f"{below}["))
            )
            for problem in self._found.values()
        )

    def raise_any(self) -> None:
        """Raises `TemplateRefused` when there are problems, in the order of the file."""
        if self._found:
            found = sorted(self._found.values(), key=lambda problem: (problem.line, problem.column))
            raise TemplateRefused(found)


def split_path(path: Path) -> tuple[str, str, str]:
    """Section, member of it, and the rest as people write it: `Events.Push.Properties[0]`."""
    section = str(path[0]) if path else ""
    resource = str(path[1]) if len(path) > 1 else ""
    rest = path[2:]
    if section == "Resources" and rest and rest[0] == "Properties":
        rest = rest[1:]
    below = ""
    for part in rest:
        if isinstance(part, int):
            below += f"[{part}]"
        else:
            below += f".{part}" if below else part
    return section, resource, below
