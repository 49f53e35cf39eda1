"""AWS's own client of the Runtime API for Python, as a folder that can be given to functions."""

import importlib.metadata
import os
import shutil
from pathlib import Path

CLIENT = ("awslambdaric", "simplejson", "snapshot-restore-py")
"""The client and what it needs, by their names on PyPI."""


def put_client(folder: Path) -> None:
    """Put it into a folder, where it is not there yet."""
    for name in CLIENT:
        for file in importlib.metadata.distribution(name).files or ():
            if ".." in file.parts or "__pycache__" in file.parts:
                continue
            place, origin = folder / file, str(file.locate())
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                try:
                    os.link(origin, place)
                except OSError:  # of another file system
                    shutil.copyfile(origin, place)
