"""What counts as code in a folder."""

from router.functions import tree


def names(folder):
    return [name for name, _path in tree.files(folder)]


def test_a_mounted_config_map_is_code_once_and_the_same_after_each_swap(tmp_path):
    """Its names are links into a folder that is another one after each change."""
    hashes = set()
    for generation in ("..2024_01", "..2024_02"):
        folder = tmp_path / generation.strip(".")
        (folder / generation / "lib").mkdir(parents=True)
        (folder / generation / "app.py").write_text("handler = 1")
        (folder / generation / "lib" / "inner.py").write_text("inner = 1")
        (folder / "..data").symlink_to(generation)
        (folder / "app.py").symlink_to("..data/app.py")
        assert names(folder) == ["app.py"]
        hashes.add(tree.tree_hash(folder))
    assert len(hashes) == 1


def test_a_link_out_of_the_folder_is_left_out(tmp_path):
    (tmp_path / "secret").write_text("s")
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").write_text("")
    (code / "leak").symlink_to(tmp_path / "secret")
    assert names(code) == ["app.py"]
