"""Saves are seen once; what is no save is not."""

import asyncio
import os
import shutil

import pytest

from router.app import watch
from router.app.watch import Watch
from tests.patience import until


def save(path, text):
    """In one step, as whoever looks on sees it."""
    fresh = path.parent.parent / "fresh"
    fresh.write_text(text)
    os.replace(fresh, path)


class Desk:
    """A template with a folder of code, and how often it was applied."""

    def __init__(self, folder):
        self.template, self.code = folder / "flat" / "template.yaml", folder / "code"
        self.template.parent.mkdir()
        self.template.write_text("one")
        self.code.mkdir()
        (self.code / "app.py").write_text("one")
        self.applied = 0
        self.is_settled = True
        self.watch = Watch(lambda: {self.template, self.code}, self.apply)

    async def apply(self):
        self.applied += 1
        return self.is_settled

    async def reaches(self, count):
        await until(lambda: self.applied >= count)
        await asyncio.sleep(0.3)
        assert self.applied == count


@pytest.fixture
async def desk(tmp_path):
    desk = Desk(tmp_path)
    await desk.watch.look()
    running = asyncio.create_task(desk.watch.run())
    await asyncio.sleep(0.3)
    yield desk
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_save_of_code_and_of_the_template(desk):
    save(desk.code / "app.py", "two")
    await desk.reaches(1)
    save(desk.template, "two")
    await desk.reaches(2)


async def test_what_leaves_everything_as_it_was_is_no_save(desk):
    (desk.template.parent / "notes.txt").write_text("beside it")
    cache = desk.code / "__pycache__"
    cache.mkdir()
    (cache / "app.cpython-311.pyc").write_bytes(b"compiled")
    (desk.code / "app.py").read_text()
    await asyncio.sleep(0.5)
    assert desk.applied == 0


async def test_a_data_folder_in_the_code_is_no_code(desk):
    data = desk.code / ".router"
    data.mkdir()
    (data / "router.db").write_text("rows")
    await asyncio.sleep(0.3)
    (data / "router.db-wal").write_text("more rows")
    await asyncio.sleep(0.3)
    assert desk.applied == 0


async def test_a_template_replaced_by_renaming_as_editors_do(desk):
    for number in (1, 2):
        fresh = desk.template.with_name("fresh")
        fresh.write_text(f"version {number}")
        os.replace(fresh, desk.template)
        await desk.reaches(number)


async def test_a_folder_that_goes_and_comes_back_is_followed_again(desk):
    desk.code.rename(desk.code.with_name("away"))
    await desk.reaches(1)
    await asyncio.sleep(1.2)
    desk.code.mkdir()
    (desk.code / "app.py").write_text("back")
    await until(lambda: desk.applied >= 2)
    await asyncio.sleep(1.2)
    before = desk.applied
    save(desk.code / "app.py", "and saved")
    await desk.reaches(before + 1)


async def test_what_was_saved_before_anybody_followed_is_seen(tmp_path):
    desk = Desk(tmp_path)
    await desk.watch.look()
    save(desk.code / "app.py", "during the start")
    running = asyncio.create_task(desk.watch.run())
    await desk.reaches(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_where_the_kernel_does_not_tell_it_is_polled(tmp_path, monkeypatch):
    """No inotify watches left is common on shared machines."""
    import watchfiles

    def refuse(*_paths, **_options):
        raise OSError("no space left on device")

    monkeypatch.setattr(watchfiles, "awatch", refuse)
    desk = Desk(tmp_path)
    await desk.watch.look()
    running = asyncio.create_task(desk.watch.run())
    await asyncio.sleep(0.3)
    save(desk.code / "app.py", "two")
    await desk.reaches(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_where_the_kernel_says_nothing_at_all_stamps_are_taken(tmp_path, monkeypatch):
    """As in a folder that another host writes to."""
    import watchfiles

    async def silent(*_paths, **_options):
        await asyncio.Event().wait()
        yield set()

    monkeypatch.setattr(watchfiles, "awatch", silent)
    desk = Desk(tmp_path)
    await desk.watch.look()
    running = asyncio.create_task(desk.watch.run())
    save(desk.code / "app.py", "two")
    await desk.reaches(1)
    save(desk.code / "app.py", "three")
    await desk.reaches(2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_could_not_be_applied_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "AGAIN_S", 0.1)
    monkeypatch.setattr(watch, "LOOK_S", 0.05)
    desk = Desk(tmp_path)
    desk.is_settled = False
    await desk.watch.look()
    running = asyncio.create_task(desk.watch.run())
    save(desk.code / "app.py", "two")
    await until(lambda: desk.applied >= 3)
    desk.is_settled = True
    before = desk.applied
    await until(lambda: desk.applied > before)
    await desk.reaches(desk.applied)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_is_written_file_by_file_is_applied_once_at_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "LOOK_S", 0.05)
    desk = Desk(tmp_path)
    seen = []

    async def apply():
        seen.append({path.name for path in desk.code.iterdir()})
        return True

    slow = Watch(lambda: {desk.template, desk.code}, apply, quiet_s=1.0)
    await slow.look()
    running = asyncio.create_task(slow.run())
    for number in range(10):
        (desk.code / f"part{number}.py").write_text("")
        await asyncio.sleep(0.02)
    await until(lambda: seen)
    assert "part9.py" in seen[0]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def mount(folder, generation, files):
    """As kubelet writes a ConfigMap: a new folder, and the one link to it replaced."""
    fresh = folder / f"..{generation}"
    for name, text in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    old = (folder / "..data").resolve()
    (folder / "..data_tmp").symlink_to(fresh.name)
    (folder / "..data_tmp").rename(folder / "..data")
    for name in {name.split("/")[0] for name in files}:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"..data/{name}")
    if old.name != "..data":
        shutil.rmtree(old)


async def test_a_mounted_config_map_is_followed_through_its_swaps(tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir()
    mount(folder, 1, {"template.yaml": "one", "functions/app.py": "one"})
    named = {folder / "template.yaml", folder / "functions"}
    applied = []

    async def apply():
        applied.append((folder / "template.yaml").read_text())
        return True

    watching = Watch(lambda: named, apply)
    await watching.look()
    running = asyncio.create_task(watching.run())
    for generation, text in ((2, "two"), (3, "three"), (4, "four")):
        mount(folder, generation, {"template.yaml": text, "functions/app.py": text})
        await until(lambda text=text: applied[-1:] == [text])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
