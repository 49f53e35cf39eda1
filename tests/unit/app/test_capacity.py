"""The default concurrency follows the memory this process may use."""

import os
import subprocess
import sys

import pytest

from router.app import capacity
from router.config import IngressSettings

GIB = 1 << 30


@pytest.mark.parametrize(
    ("memory", "concurrency"),
    [(GIB // 2, 16), (4 * GIB, 38), (16 * GIB, 153), (1024 * GIB, 1000)],
)
def test_by_memory(monkeypatch, memory, concurrency):
    monkeypatch.setattr(capacity, "memory_bytes", lambda: memory)
    assert capacity.concurrency_default() == concurrency


def test_a_control_groups_limit_counts(monkeypatch, tmp_path):
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = tmp_path / "memory.max"
    for text, wanted in (
        (str(256 << 20), 256 << 20),
        ("max", host),
        (str(1 << 62), host),
    ):
        limit.write_text(text)
        monkeypatch.setattr(capacity, "CGROUP_FILES", (str(tmp_path / "none"), str(limit)))
        assert capacity.memory_bytes() == wanted


@pytest.mark.parametrize(
    ("files", "environments", "connections"),
    [(64, 100, 16), (1_024, 100, 596), (1_024, 1_000, 384), (65_536, 1_000, 4_096)],
)
def test_connections_leave_files_for_the_work(files, environments, connections):
    """L5: a flood of connections cannot stop what was accepted."""
    settings = capacity.ingress_fitting(IngressSettings(), files, environments)
    assert settings.connections_max == connections


@pytest.mark.parametrize(("files", "connections"), [(64, 16), (1_024, 32), (65_536, 1_024)])
def test_callers_of_the_api_leave_files_for_the_work_too(files, connections):
    assert capacity.api_connections_fitting(files) == connections


@pytest.mark.parametrize(("memory", "buffered"), [(GIB // 8, 16), (GIB, 64), (8 * GIB, 128)])
def test_requests_under_way_take_a_share_of_the_memory(monkeypatch, memory, buffered):
    """L2: a small container is not killed by requests that only wait."""
    monkeypatch.setattr(capacity, "memory_bytes", lambda: memory)
    settings = capacity.ingress_fitting(IngressSettings(), 65_536, 16)
    assert settings.buffered_bytes_max == buffered << 20
    settings = capacity.ingress_fitting(IngressSettings(buffered_bytes_max=5 << 20), 65_536, 16)
    assert settings.buffered_bytes_max == 5 << 20


@pytest.mark.parametrize(
    ("memory", "buffer"), [(GIB // 8, 32), (GIB, 128), (8 * GIB, 1_024), (512 * GIB, 4_096)]
)
def test_l2_mappings_together_hold_a_share_of_the_memory(monkeypatch, memory, buffer):
    monkeypatch.setattr(capacity, "memory_bytes", lambda: memory)
    assert capacity.buffer_bytes_default() == buffer << 20


def test_the_soft_limit_of_open_files_is_raised():
    code = (
        "import resource; from router.app.capacity import raise_open_files;"
        "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE);"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard));"
        "files = raise_open_files();"
        "assert files == resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, 65_536);"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64));"
        "assert raise_open_files() == 64"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("processes", "processors", "is_apart"),
    [(-1, 1, False), (-1, 2, True), (0, 8, False), (1, 1, True)],
)
def test_the_listener_is_apart_where_another_processor_runs_it(
    monkeypatch, processes, processors, is_apart
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    assert capacity.has_ingress_process(IngressSettings(processes=processes)) is is_apart
