"""Which functions need an interpreter of their own."""

import pytest

from router.model.function import FunctionVersion
from router.workers import environment


def version(code: str) -> FunctionVersion:
    return FunctionVersion(
        name="f",
        arn="arn:aws:lambda:us-east-1:000000000000:function:f",
        runtime="python3.11",
        handler="app.handler",
        code_path=code,
        code_hash="1",
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LD_PRELOAD", True),
        ("PYTHONHASHSEED", True),
        ("MALLOC_ARENA_MAX", True),
        ("LEVEL", False),
        ("TZ", False),
    ],
)
def test_variables_read_at_exec(tmp_path, name, expected):
    assert environment.needs_fresh_exec(version(str(tmp_path)), {name: "1"}) is expected


@pytest.mark.parametrize(
    ("file", "expected"), [("libx.so", True), ("libx.so.1", True), ("x.txt", False)]
)
def test_shipped_libraries(tmp_path, file, expected):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / file).touch()
    assert environment.needs_fresh_exec(version(str(tmp_path)), {}) is expected


def test_without_a_private_file_view_tmp_is_named():
    paths = {"task": "/code", "tmp": "/data/environments/x", "opt": "", "runtime": "/rt"}
    found = environment.build(version("/code"), {}, {}, paths, "stream")
    assert found["TMPDIR"] == "/data/environments/x"
    assert found["LAMBDA_TASK_ROOT"] == "/code"
    assert found["PYTHONPATH"] == "/rt"
    viewed = environment.build(version("/code"), {}, {}, paths | {"tmp": "/tmp"}, "stream")
    assert "TMPDIR" not in viewed
