"""Reads a Dockerfile: the part of the language that ours uses. Anything else is refused."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Unknown(Exception):
    """A line that is not understood; the text names it."""


@dataclass(frozen=True)
class Copy:
    """`COPY [--from=STAGE] SOURCE… TARGET`."""

    sources: tuple[str, ...]
    target: str
    stage: str = ""
    """Empty: from the folder that is built."""


@dataclass(frozen=True)
class Run:
    """`RUN COMMAND`, for a shell."""

    command: str


@dataclass(frozen=True)
class WorkingFolder:
    """`WORKDIR PATH`, as a step: the folder is made."""

    path: str


Step = Copy | Run | WorkingFolder


@dataclass
class Stage:
    """One `FROM` with what follows. `config` is named as in an image's configuration."""

    name: str
    base: str
    steps: list[Step] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


_OPTION = re.compile(r"--([a-z-]+)=(\S+)\s+")
_TIMES = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod"}
_NANOSECONDS = 1_000_000_000
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def parse(text: str, arguments: Mapping[str, str] | None = None) -> list[Stage]:
    """Its stages. `arguments` stand for `--build-arg`. Raises `Unknown`."""
    stages: list[Stage] = []
    values: dict[str, str] = {}
    for number, name, rest in _instructions(text):
        try:
            if name == "ARG":
                key, _, default = rest.partition("=")
                values[key] = (arguments or {}).get(key, default)
            elif name == "FROM":
                base, _, given = _substituted(rest, values).partition(" AS ")
                stages.append(Stage(given or str(len(stages)), base))
            else:
                _take(stages[-1], name, rest)
        except (ValueError, KeyError, IndexError) as error:
            raise Unknown(f"line {number}: {name} {rest}: {error}") from None
    return stages


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, name and the rest of each, continued lines as one."""
    whole, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        first = first if whole else number
        whole += line.rstrip() if whole else line.strip()
        if whole.endswith("\\"):
            whole = whole[:-1]
            continue
        name, _, rest = whole.partition(" ")
        yield first, name, rest.strip()
        whole = ""


def _substituted(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: values[match[1]], text)


def _take(stage: Stage, name: str, rest: str) -> None:
    config = stage.config
    match name:
        case "RUN":
            stage.steps.append(Run(rest))
        case "COPY":
            stage.steps.append(_copy(rest))
        case "WORKDIR":
            stage.steps.append(WorkingFolder(rest))
            config["WorkingDir"] = rest
        case "ENV":
            stage.environment |= _pairs(rest)
            config["Env"] = [f"{key}={value}" for key, value in stage.environment.items()]
        case "LABEL":
            config["Labels"] = config.get("Labels", {}) | _pairs(rest)
        case "USER":
            config["User"] = rest
        case "EXPOSE":
            config["ExposedPorts"] = {f"{port}/tcp": {} for port in rest.split()}
        case "VOLUME":
            config["Volumes"] = {path: {} for path in json.loads(rest)}
        case "STOPSIGNAL":
            config["StopSignal"] = rest
        case "ENTRYPOINT" | "CMD":
            config[name.capitalize()] = _words(rest)
        case "HEALTHCHECK":
            config["Healthcheck"] = _health(rest)
        case _:
            raise ValueError("this instruction is not known here")


def _copy(rest: str) -> Copy:
    stage = ""
    while option := _OPTION.match(rest):
        if option[1] != "from":
            raise ValueError(f"--{option[1]} is not known here")
        stage, rest = option[2], rest[option.end() :]
    *sources, target = rest.split()
    return Copy(tuple(sources), target, stage)


def _pairs(rest: str) -> dict[str, str]:
    return {key: value for key, _, value in (word.partition("=") for word in shlex.split(rest))}


def _words(rest: str) -> list[str]:
    """A command without a shell: the image has none."""
    words = json.loads(rest)
    if not isinstance(words, list):
        raise TypeError("must be a list of words")
    return [str(word) for word in words]


def _health(rest: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while option := _OPTION.match(rest):
        name, value = option[1], option[2]
        if name == "retries":
            found["Retries"] = int(value)
        else:
            found[_TIMES[name]] = int(value.removesuffix("s")) * _NANOSECONDS
        rest = rest[option.end() :]
    return found | {"Test": ["CMD", *_words(rest.removeprefix("CMD "))]}


class Ignored:
    """What `.dockerignore` keeps from a build: the last line that fits decides."""

    def __init__(self, text: str) -> None:
        lines = (line.strip() for line in text.splitlines())
        self._rules = [line for line in lines if line and not line.startswith("#")]

    def __call__(self, path: Path) -> bool:
        """Whether this path, relative to the folder that is built, stays out."""
        is_out = False
        for rule in self._rules:
            pattern = rule.lstrip("!")
            if any(_fits(part, pattern) for part in (path, *path.parents[:-1])):
                is_out = not rule.startswith("!")
        return is_out


def _fits(path: Path, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return path.match(pattern.removeprefix("**/"))
    return len(path.parts) == pattern.count("/") + 1 and path.match(pattern)
