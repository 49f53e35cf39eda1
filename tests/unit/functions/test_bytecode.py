"""Packages come with bytecode: made without running them, true to their source."""

import importlib.util
import shutil
from pathlib import Path

from router.functions import bytecode
from router.functions.packages import CodeStore


def package(folder: Path, modules: int, text: str = "VALUE = 1\n") -> Path:
    folder.mkdir()
    for number in range(modules):
        (folder / f"m{number}.py").write_text(text)
    return folder


async def test_a_snapshot_has_bytecode_for_every_module(tmp_path: Path) -> None:
    source = package(tmp_path / "code", bytecode.FILES_MIN)
    kept = Path((await CodeStore(tmp_path / "kept").snapshot(source)).path)
    for module in kept.glob("*.py"):
        compiled = Path(importlib.util.cache_from_source(str(module)))
        assert compiled.is_file()
        assert compiled.stat().st_mode & 0o444 == 0o444
        stamp = int.from_bytes(compiled.read_bytes()[8:12], "little")
        assert stamp == int(module.stat().st_mtime), "it is checked against its source"
    assert not (source / "__pycache__").exists(), "the user's folder is left alone"


async def test_bytecode_changes_no_hash(tmp_path: Path) -> None:
    source = package(tmp_path / "code", bytecode.FILES_MIN)
    store = CodeStore(tmp_path / "kept")
    first = await store.snapshot(source)
    shutil.copytree(first.path, tmp_path / "copy")
    assert (await store.snapshot(tmp_path / "copy")).hash == first.hash


async def test_compiling_runs_nothing_and_survives_what_does_not_compile(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    source = package(tmp_path / "code", 10, f"open({str(trap)!r}, 'w')\n")
    (source / "broken.py").write_text("def (:\n")
    (source / "deep.py").write_text("x = " + "(" * 100_000 + ")" * 100_000 + "\n")
    kept = Path((await CodeStore(tmp_path / "kept").snapshot(source)).path)
    assert not trap.exists()
    assert len(list((kept / "__pycache__").glob("m*.pyc"))) == 10


def test_a_few_modules_are_not_worth_a_child(tmp_path: Path) -> None:
    source = package(tmp_path / "code", bytecode.FILES_MIN - 1)
    bytecode.add_bytecode(source)
    assert not (source / "__pycache__").exists()
