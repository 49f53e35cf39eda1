"""Saves are seen once; what is no save is not."""

import asyncio
import os

import pytest

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
        self.watch = Watch(lambda: {self.template, self.code}, self.apply)

    async def apply(self):
        self.applied += 1

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
