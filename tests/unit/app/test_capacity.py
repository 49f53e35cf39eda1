"""The default concurrency follows the memory this process may use."""

import os

import pytest

from router.app import capacity

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
