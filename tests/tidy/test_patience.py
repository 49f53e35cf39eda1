"""No test gives up on what is sure to come because the machine is busy (`tests/patience.py`)."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
LEAST_S = 20
BOUNDS = {
    "asyncio.timeout": 0, "asyncio.wait_for": 1, "until": 1, "subprocess.run": None,
    "subprocess.check_output": None, "http.client.HTTPConnection": None,
}  # fmt: skip
"""What waits with a bound: where it stands among the arguments, if not by its name."""

METHODS = {"result": 0, "join": 0, "communicate": None}
"""Of futures, threads and processes, whatever they are called."""

LAST_NAMES = {name.rpartition(".")[2] for name in BOUNDS}
BY_NAME = {"timeout", "wait_s", "deadline"}


def calls(node: ast.AST) -> Iterator[ast.Call]:
    """All of them, but those that are meant to run out: below `pytest.raises(TimeoutError)`."""
    if isinstance(node, ast.With) and any("TimeoutError" in ast.unparse(it) for it in node.items):
        return
    if isinstance(node, ast.Call):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from calls(child)


def impatient(tree: ast.AST) -> list[int]:
    """Lines that wait for less, as a number."""
    found = []
    for call in calls(tree):
        last = getattr(call.func, "attr", getattr(call.func, "id", ""))
        name = ast.unparse(call.func) if last in LAST_NAMES else ""
        is_method = last in METHODS and isinstance(call.func, ast.Attribute)
        if name in BOUNDS or is_method:
            place = METHODS[last] if is_method else BOUNDS[name]
            bounds = [part.value for part in call.keywords if part.arg in BY_NAME]
            bounds += call.args[place : place + 1] if place is not None else []
            found += [
                call.lineno
                for bound in bounds
                if isinstance(bound, ast.Constant)
                and isinstance(bound.value, int | float)
                and bound.value < LEAST_S
            ]
    return found


def test_whatever_is_sure_to_come_is_waited_for():
    paths = [path for path in TESTS.rglob("*.py") if ".venv" not in path.parts]
    assert len(paths) > 100
    wrong = {
        f"{path.relative_to(TESTS)}:{line}"
        for path in paths
        for line in impatient(ast.parse(path.read_text()))
    }
    assert not wrong, "tests.patience.PATIENCE_S is for these"


def test_an_impatient_one_is_found():
    text = """
async def test():
    async with asyncio.timeout(5):
        await asyncio.wait_for(it, 2)
        await asyncio.wait_for(it, timeout=0.5)
    until(it, 10)
    until(it, wait_s=1)
    until(it, 40)
    thread.join(5)
    future.result(timeout=1)
    process.communicate(text, 1), ", ".join(many)
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait_for(it, 20)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(it, 0.1)
"""
    assert impatient(ast.parse(text)) == [3, 4, 5, 6, 7, 9, 10]
