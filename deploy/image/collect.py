"""Puts together the root folder of the image: what the router runs on, and nothing to log in with.

    python3 collect.py VENV ROOT

Run by the interpreter that goes into it. Every file keeps its path: the interpreter, its standard
library, the virtualenv, the shared libraries all of these load, certificates, time zones. There is
no shell, no package manager and no file with the setuid bit. Standard library only.
"""

import compileall
import os
import py_compile
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

USER_ID = 10001
"""Whom the router runs as; the group has the same number."""

LEFT_OUT = {
    "__pycache__", "ensurepip", "idlelib", "lib2to3", "site-packages", "dist-packages", "test",
    "tkinter", "turtledemo", "venv",
}  # fmt: skip
"""Of the standard library: its tests, programs with windows, and what installs packages."""

LEFT_OUT_FILES = re.compile(
    r"^(_test|_tkinter|_xxtest|_ctypes_test|xxlimited|nis\.|turtle\.py)|\.a$"
)

LOADED_LATER = (
    "libnss_dns.so.2", "libnss_files.so.2",
    "libc.so.6", "libdl.so.2", "libexpat.so.1", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0",
    "libresolv.so.2", "librt.so.1", "libstdc++.so.6", "libutil.so.1", "libz.so.1",
)  # fmt: skip
"""Libraries that no program here may name: what glibc opens when it needs it, and what compiled
packages of functions may rely on everywhere (PEP 600, but for those of graphics)."""

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
ZONES = Path("/usr/share/zoneinfo")
LOCALE = Path("/usr/lib/locale/C.utf8")
MOUNT_POINTS = ("dev", "etc/router", "proc", "sys", "tmp", "var/lib/router")
MOUNT_POINT_FILES = ("etc/hostname", "etc/hosts", "etc/resolv.conf")
"""Made here, so that nobody has to write to a read-only root."""

TEXTS = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/sbin/nologin\n"
        f"router:x:{USER_ID}:{USER_ID}:Event Router:/var/lib/router:/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
    ),
    "etc/group": f"root:x:0:\nrouter:x:{USER_ID}:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


class Root:
    """The folder that is filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def inside(self, path: Path) -> Path:
        """Where a file of this machine goes."""
        return self.folder / path.relative_to("/")

    def place(self, path: Path) -> None:
        """A file under its own path. Links stay links, and lead to what they led to."""
        self._link_parents(path.parent)
        here = Path(os.path.realpath(path.parent)) / path.name
        there = self.inside(here)
        if there.is_symlink() or there.exists():
            return
        there.parent.mkdir(parents=True, exist_ok=True)
        if here.is_symlink():
            there.symlink_to(here.readlink())
            self.place(Path(os.path.normpath(here.parent / here.readlink())))
        elif here.is_dir():
            there.mkdir()
        else:
            shutil.copyfile(here, there)
            there.chmod(0o755 if os.access(here, os.X_OK) else 0o644)

    def place_tree(self, folder: Path, files: Iterable[Path]) -> None:
        """These files of a folder, without what another machine compiled."""
        self.place(folder)
        for file in files:
            if file.suffix != ".pyc":
                self.place(file)

    def _link_parents(self, folder: Path) -> None:
        """The links on the way to a folder, such as /lib → /usr/lib."""
        for part in [*reversed(folder.parents), folder]:
            if part.is_symlink() and not self.inside(part).is_symlink():
                there = self.inside(part)
                there.parent.mkdir(parents=True, exist_ok=True)
                there.symlink_to(part.readlink())
                self._link_parents(Path(os.path.normpath(part.parent / part.readlink())))

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """A small file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)


def standard_library() -> Iterable[Path]:
    """The files of it that the image has."""
    folders = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    for folder in folders:
        for root, names, files in os.walk(folder):
            names[:] = [
                name for name in names
                if name not in LEFT_OUT and not (root == str(folder) and name.startswith("config-"))
            ]  # fmt: skip
            yield from (Path(root, file) for file in files if not LEFT_OUT_FILES.search(file))


def virtualenv(venv: Path) -> Iterable[Path]:
    """The files of it that the image has: of its programs only Python and ours."""
    yield venv / "pyvenv.cfg"
    yield venv / "bin/router"
    yield from venv.glob("bin/python*")
    yield from (path for path in (venv / "lib").rglob("*") if path.is_file())


def is_program(path: Path) -> bool:
    """Whether the loader has to do with it."""
    if not path.is_file() or path.is_symlink():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def libraries(programs: list[Path]) -> set[Path]:
    """What the loader looks for when it starts these, under the names it finds."""
    told = subprocess.run(
        ["/usr/bin/ldd", *map(str, programs)], capture_output=True, text=True, check=False
    ).stdout
    if lacking := re.findall(r"(\S+) => not found", told):
        raise SystemExit(f"collect: shared libraries are missing: {', '.join(sorted(lacking))}")
    found = {Path(name) for name in re.findall(r"(/\S+\.so\S*) \(0x", told)}
    folders = {path.parent for path in found if path.name.startswith("libc.so")}
    return found | {
        folder / name for folder in folders for name in LOADED_LATER if (folder / name).exists()
    }


def trust(root: Root) -> None:
    """The certificates of the public authorities, where this OpenSSL looks for them."""
    if not CERTIFICATES.is_file():
        raise SystemExit(f"collect: {CERTIFICATES} is missing: install ca-certificates")
    root.place(CERTIFICATES)
    paths = ssl.get_default_verify_paths()
    for name in {paths.openssl_cafile, "/etc/ssl/cert.pem"}:
        there = root.inside(Path(name))
        there.parent.mkdir(parents=True, exist_ok=True)
        if not there.is_symlink():
            there.symlink_to(CERTIFICATES)


def zones() -> Iterable[Path]:
    """Time zones, each once; not those that count leap seconds."""
    for root, names, files in os.walk(ZONES):
        names[:] = [name for name in names if name not in {"posix", "right"}]
        yield from (Path(root, file) for file in files)


def compile_all(root: Root, folders: Iterable[Path]) -> None:
    """Bytecode beside each module, taken as it is: nobody can write here later."""
    for folder in folders:
        is_whole = compileall.compile_dir(
            root.inside(folder),
            stripdir=str(root.folder), prependdir="/", quiet=2, workers=0,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )  # fmt: skip
        if not is_whole and folder != Path(sysconfig.get_path("stdlib")):
            print(f"collect: not all of {folder} could be compiled", file=sys.stderr)


def collect(venv: Path, folder: Path) -> None:
    """Fill the folder, which is not there yet."""
    os.umask(0o022)
    folder.mkdir(parents=True)
    root = Root(folder.absolute())
    library = list(standard_library())
    packages = list(virtualenv(venv))
    interpreter = Path(os.path.realpath(sys.executable))
    root.place(interpreter)
    root.place_tree(Path(sysconfig.get_path("stdlib")), library)
    root.place_tree(venv, packages)
    programs = [path for path in (interpreter, *library, *packages) if is_program(path)]
    for path in libraries(programs):
        root.place(path)
    trust(root)
    for path in zones():
        root.place(path)
    for path in (Path("/etc/os-release"), *LOCALE.rglob("*")):
        root.place(path)
    for name in MOUNT_POINTS:
        (root.folder / name).mkdir(parents=True, exist_ok=True)
    for name in MOUNT_POINT_FILES:
        root.write(name, "")
    for name, text in TEXTS.items():
        root.write(name, text)
    (root.folder / "tmp").chmod(0o1777)
    data = root.folder / "var/lib/router"
    data.chmod(0o700)
    try:
        os.chown(data, USER_ID, USER_ID)
    except OSError as error:  # somebody without that user builds for a try
        print(f"collect: {data} stays with this user: {error.strerror}", file=sys.stderr)
    compile_all(root, [Path(sysconfig.get_path("stdlib")), venv])
    root.write("etc/ld.so.conf", "/usr/local/lib\n")
    subprocess.run(["/sbin/ldconfig", "-r", root.folder], check=True)


if __name__ == "__main__":
    collect(Path(sys.argv[1]), Path(sys.argv[2]))
