"""Every promise of the contracts has a test that names it; those of queues and Kafka a real server.

An id counts where the name or the body of a test has it: `test_p25_…`, or "P25" in its docstring.
"""

import ast
import functools
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CONTRACTS = TESTS.parent / "docs" / "contracts"

OF_QUEUES = {2, 3, 4, 5, 7, 12, 20, 21, 22, 23, 24, 25, 26, 27, 29, 31}
OF_KAFKA = {5, 8, 9, 10, 11, 12, 14, 15, 17, 18, 19, 20, 21, 22, 23, 26, 27, 29, 31}
"""Those of section 14 that say something about such a source: P1 and P6 are about all of them in
one place, P13, P16, P28 and P30 about streams alone."""

ON_REAL = {
    "queues": ["integration/test_queues*.py", "contract/test_mappings_queues.py"],
    "kafka": ["integration/test_kafka*.py", "contract/test_mappings_kafka.py",
              "contract/test_mappings_at_work.py"],
    "anywhere": ["*/**/test_*.py"],
}  # fmt: skip
"""Folder and name of tests that start what they are about: routers, ElasticMQ, brokers."""

ID = re.compile(r"(?<![A-Za-z0-9])([DLPdlp])([0-9]{1,2})(?![0-9A-Za-z])")


@functools.cache
def named(where: str) -> frozenset[str]:
    """The ids that tests of a group of files name."""
    found = set()
    for pattern in ON_REAL[where]:
        for path in TESTS.glob(pattern):
            text = path.read_text()
            lines = text.splitlines()
            for node in ast.walk(ast.parse(text)):
                is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                if is_function and node.name.startswith("test_"):
                    source = "\n".join(lines[node.lineno - 1 : node.end_lineno])
                    found |= {f"{it[1].upper()}{it[2]}" for it in ID.finditer(source)}
    return frozenset(found)


def rows(contract: str) -> set[str]:
    """The ids at the beginning of a contract's table rows."""
    text = (CONTRACTS / contract).read_text()
    return set(re.findall(r"^\| ([DLP][0-9]+) \|", text, re.MULTILINE))


def test_the_contracts_promise_what_this_is_about():
    assert rows("event-source-mappings.md") == {f"P{number}" for number in range(1, 33)}
    assert rows("reliability.md") >= {f"D{number}" for number in range(1, 13)}


@pytest.mark.parametrize(
    ("where", "promised"),
    [
        ("anywhere", rows("event-source-mappings.md") | rows("reliability.md")),
        ("queues", {f"P{number}" for number in OF_QUEUES}),
        ("kafka", {f"P{number}" for number in OF_KAFKA}),
    ],
    ids=["anywhere", "queues", "kafka"],
)
def test_every_promise_is_named_by_a_test(where, promised):
    assert sorted(promised - named(where)) == []


def test_every_line_of_acceptance_names_tests_that_are_there():
    text = (CONTRACTS.parent / "compatibility.md").read_text().partition("## Acceptance")[2]
    lines = dict(re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE))
    contract = (CONTRACTS / "functions-and-invocation.md").read_text()
    wanted = re.findall(r"^(\d+)\. ", contract.partition("## 16.")[2], re.MULTILINE)
    assert list(lines) == wanted
    for number, cell in lines.items():
        proofs = re.findall(r"`([\w/]+\.py)::(test_\w+)`", cell)
        assert proofs, number
        for path, name in proofs:
            assert re.search(rf"^(async )?def {name}\(", (TESTS / path).read_text(), re.MULTILINE)
