"""One folder over another, as layers are put together below `/opt`: what comes later counts.

Nothing is copied and no link is followed: files are the same files under another name, so five
layers take the room of five, however many functions use them together.
"""

import os
import shutil
from pathlib import Path


def put_over(source: Path, target: Path) -> None:
    """Put what is in `source` into `target`, both folders of one file system.

    A file or link takes the place of whatever has its name; folders are joined, but one that
    meets a link takes its place too: a layer never writes to where another one's link leads.
    Raises `OSError`.
    """
    with os.scandir(source) as entries:
        for entry in entries:
            place = target / entry.name
            if entry.is_dir(follow_symlinks=False):
                if place.is_symlink() or (place.exists() and not place.is_dir()):
                    place.unlink()
                place.mkdir(exist_ok=True)
                put_over(Path(entry.path), place)
                continue
            _clear(place)
            if entry.is_symlink():
                place.symlink_to(Path(entry.path).readlink())
            else:
                os.link(entry.path, place)


def _clear(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
