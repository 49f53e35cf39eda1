"""One folder over another: what comes later counts, and no link is written through."""

import os

import pytest

from router.functions.overlay import put_over


def make(folder, **contents):
    folder.mkdir(exist_ok=True)
    for name, text in contents.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def opt(tmp_path):
    folder = tmp_path / "opt"
    folder.mkdir()
    return folder


def test_folders_are_joined_and_the_later_file_counts(tmp_path, opt):
    put_over(make(tmp_path / "a", python__one="1", python__both="a"), opt)
    put_over(make(tmp_path / "b", python__two="2", python__both="b"), opt)
    assert {path.name: path.read_text() for path in (opt / "python").iterdir()} == {
        "one": "1",
        "two": "2",
        "both": "b",
    }
    assert (tmp_path / "a" / "python" / "both").read_text() == "a"


def test_files_are_not_copied(tmp_path, opt):
    layer = make(tmp_path / "a", bin__tool="x" * 1000)
    (layer / "bin" / "tool").chmod(0o755)
    put_over(layer, opt)
    assert (opt / "bin" / "tool").stat().st_ino == (layer / "bin" / "tool").stat().st_ino
    assert os.access(opt / "bin" / "tool", os.X_OK)


def test_a_file_takes_the_place_of_a_folder_and_a_folder_that_of_a_file(tmp_path, opt):
    put_over(make(tmp_path / "a", x__inner="1", y="file"), opt)
    put_over(make(tmp_path / "b", x="file", y__inner="2"), opt)
    assert (opt / "x").read_text() == "file"
    assert (opt / "y" / "inner").read_text() == "2"


def test_nothing_is_written_through_a_link(tmp_path, opt):
    first = make(tmp_path / "a", real__kept="1")
    (first / "lib").symlink_to("real")
    (first / "name").symlink_to("real/kept")
    put_over(first, opt)
    assert (opt / "lib" / "kept").read_text() == "1"
    put_over(make(tmp_path / "b", lib__kept="2", name="own"), opt)
    assert not (opt / "lib").is_symlink()
    assert (opt / "lib" / "kept").read_text() == "2"
    assert (opt / "real" / "kept").read_text() == "1"
    assert (opt / "name").read_text() == "own"
    assert (first / "real" / "kept").read_text() == "1"


def test_a_link_takes_the_place_of_what_was_there(tmp_path, opt):
    put_over(make(tmp_path / "a", lib__x="1", other__y="2"), opt)
    second = make(tmp_path / "b")
    (second / "lib").symlink_to("other")
    put_over(second, opt)
    assert (opt / "lib" / "y").read_text() == "2"
