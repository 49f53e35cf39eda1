"""Code that functions under users of their own could not read runs as a copy."""

from pathlib import Path

from router.app.stacks import ReadableInPlace
from router.functions.packages import CodeStore


def code(folder: Path) -> Path:
    found = folder / "code"
    (found / "lib").mkdir(parents=True)
    for path in (found, found / "lib"):
        path.chmod(0o755)
    for name in ("app.py", "lib/helper.py"):
        (found / name).write_text("x = 1")
        (found / name).chmod(0o644)
    return found


async def test_readable_code_runs_where_it_is(tmp_path):
    folder = code(tmp_path)
    package = await ReadableInPlace(CodeStore(tmp_path / "store").snapshot)(folder)
    assert package.path == str(folder)
    assert not (tmp_path / "store").exists()


async def test_private_code_runs_as_a_copy_that_can_be_read(tmp_path):
    place = ReadableInPlace(CodeStore(tmp_path / "store").snapshot)
    for number, (name, mode) in enumerate(
        ((".", 0o700), ("lib", 0o700), ("app.py", 0o600), ("lib/helper.py", 0o640))
    ):
        folder = code(tmp_path / str(number))
        (folder / name).chmod(mode)
        package = await place(folder)
        copy = Path(package.path)
        assert copy.is_relative_to(tmp_path / "store"), name
        assert (copy / "lib/helper.py").read_text() == "x = 1"
        for path in (copy, copy / "lib", copy / "app.py", copy / "lib/helper.py"):
            assert path.stat().st_mode & 0o004, path


async def test_a_changed_file_makes_another_copy(tmp_path):
    place = ReadableInPlace(CodeStore(tmp_path / "store").snapshot)
    folder = code(tmp_path)
    folder.chmod(0o700)
    first = await place(folder)
    (folder / "app.py").write_text("x = 2")
    second = await place(folder)
    assert first.hash != second.hash
    assert Path(second.path, "app.py").read_text() == "x = 2"
