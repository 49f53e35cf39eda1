"""One site for the attacks on the listener; the table of everything at the end."""

import resource

import pytest

from tests.attack.site import HEADING, TABLE
from tests.integration.bed import lone_bed

FILES = 8_192
"""Two thousand connections have two ends."""


@pytest.fixture(scope="session", autouse=True)
def files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@pytest.fixture(scope="module")
def shared_bed(tmp_path_factory):
    with lone_bed(tmp_path_factory.mktemp("attack")) as bed:
        yield bed


@pytest.fixture
def bed(tmp_path):
    with lone_bed(tmp_path) as bed:
        yield bed


def pytest_terminal_summary(terminalreporter):
    if TABLE:
        terminalreporter.write_line("")
        for line in (HEADING, *(seen.row for seen in TABLE)):
            terminalreporter.write_line(line)
