"""Folders of ConfigMaps and Secrets as the kubelet has them: every change is one rename.

template.yaml ─► ..data/template.yaml        ..data ─► ..2026_11_22_10_00_00.1
functions     ─► ..data/functions            ..2026_11_22_10_00_00.1/template.yaml …
"""

import itertools
import shutil
from pathlib import Path


class MountedVolume:
    """One volume, mounted at a folder."""

    def __init__(self, folder: Path, files: dict[str, bytes]) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)
        folder.mkdir(parents=True)
        self.put(files)

    def put(self, files: dict[str, bytes]) -> None:
        """It holds these from now on; who reads sees all of it change at once."""
        content = self.folder / f"..2026_11_22_10_00_00.{next(self._numbers)}"
        for name, data in files.items():
            path = content / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o440)
        before = (self.folder / "..data").resolve() if (self.folder / "..data").exists() else None
        (self.folder / "..data_tmp").symlink_to(content.name)
        (self.folder / "..data_tmp").rename(self.folder / "..data")
        shown = {Path(name).parts[0] for name in files}
        for name in shown:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        for path in self.folder.iterdir():
            if path.is_symlink() and not path.name.startswith("..") and path.name not in shown:
                path.unlink()
        if before is not None:
            shutil.rmtree(before)
