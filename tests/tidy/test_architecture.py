"""The two laws of the tree: layering and purity (`ARCHITECTURE.md`)."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "router"

DRIVERS = (
    "mapping.driver", "mapping.shell", "mapping.queue_shell", "mapping.kinds", "mapping.manager",
)  # fmt: skip
"""What acts for the engines: parts of one package that know each other, and no other stage."""

STAGES = [
    {"model", "__init__"},
    {"config", "telemetry"},
    {"patterns", "outcomes"},
    {"mapping"},
    {"store", "auth", "http"},
    {"functions", "embedded", "workers", "sources", "destinations"},
    {"dispatch"},
    {*DRIVERS, "ingress", "control", "ops", "asynchronous"},
    {"template"},
    {"app"},
    {"cli"},
    {"__main__"},
]
"""Import only from an earlier stage, or from one's own package."""

PURE = (
    "model", "patterns", "mapping", "outcomes", "workers/wire.py",
    "dispatch/ledger.py", "dispatch/pot.py", "dispatch/waiting.py",
    "asynchronous/decide.py", "asynchronous/lines.py",
    "ops/facts.py", "ops/history.py", "ops/html.py", "ops/pages", "ops/paths.py",
    "ops/pictures.py", "ops/rows.py", "ops/trouble.py", "ops/wording.py",
)  # fmt: skip
IMPURE_FILES = tuple(name.replace(".", "/") for name in DRIVERS)
FORBIDDEN = {
    "asyncio", "time", "random", "os", "socket", "logging", "structlog", "aiohttp", "aiokafka",
    "botocore", "aioboto3", "sqlite3", "threading", "subprocess", "secrets", "uuid",
}  # fmt: skip
STDLIB_ONLY = (
    *("workers/wire.py", "workers/bootstrap.py", "workers/results.py", "workers/events.py"),
    "workers/trace_variable.py",
)


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def group_of(dotted: str) -> str:
    """The unit of layering: the drivers in `mapping` apart, else the package."""
    parts = dotted.split(".")
    driver = ".".join(parts[:2])
    return driver if driver in DRIVERS else parts[0]


def stage_of(group: str) -> int:
    for index, stage in enumerate(STAGES):
        if group in stage:
            return index
    pytest.fail(f"{group} is in no stage: add it to STAGES and ARCHITECTURE.md")


@functools.cache
def imports(path: Path) -> list[tuple[str, int]]:
    """What a file imports, and where."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                candidate = ROOT.parent / (node.module + "." + alias.name).replace(".", "/")
                is_module = candidate.is_dir() or candidate.with_suffix(".py").is_file()
                is_ours = node.module.split(".")[0] == "router"
                name = f"{node.module}.{alias.name}" if is_ours and is_module else node.module
                found.append((name, node.lineno))
    return found


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_layering(path: Path) -> None:
    dotted = name_of(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    mine = group_of(dotted)
    for target, line in imports(path):
        if not target.startswith("router."):
            continue
        theirs = group_of(target.removeprefix("router."))
        if theirs == mine or {mine, theirs} <= {*DRIVERS}:
            continue
        assert stage_of(theirs) < stage_of(mine), (
            f"{name_of(path)}:{line} imports {target}: {mine} may not know {theirs}"
        )


@pytest.mark.parametrize(
    "path",
    [
        p
        for p in modules()
        if name_of(p).startswith(PURE) and not name_of(p).startswith(IMPURE_FILES)
    ],
    ids=name_of,
)
def test_purity(path: Path) -> None:
    for target, line in imports(path):
        top = target.split(".")[0]
        assert top not in FORBIDDEN, f"{name_of(path)}:{line} imports {target}"
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), (
            f"{name_of(path)}:{node.lineno} is async"
        )


@pytest.mark.parametrize("name", STDLIB_ONLY)
def test_what_runs_in_the_child_needs_nothing_of_ours(name: str) -> None:
    path = ROOT / name
    for target, line in imports(path):
        assert target.split(".")[0] != "router", f"{name}:{line} imports {target}"


def test_the_laws_can_fail(tmp_path: Path) -> None:
    source = tmp_path / "x.py"
    source.write_text("import asyncio\nfrom router.cli import main\n")
    assert [target for target, _line in imports(source)] == ["asyncio", "router.cli"]
    assert stage_of("cli") > stage_of("mapping")
