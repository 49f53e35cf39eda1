"""Unpacked images that tests make of what this machine has: a Python and nothing else."""

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PACKAGES = ("collections", "encodings", "email", "http", "importlib", "json", "re", "urllib")
"""Of the standard library, besides its single modules: what an HTTP client needs."""

BOOTSTRAP = """
import http.client, json, os, sys
sys.path[:0] = [os.getcwd()]
module, _, name = sys.argv[1].rpartition(".")
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
handler = getattr(__import__(module), name)
while True:
    connection.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = connection.getresponse()
    event = json.loads(answer.read())
    at = "/2018-06-01/runtime/invocation/" + answer.headers["Lambda-Runtime-Aws-Request-Id"]
    connection.request("POST", at + "/response", json.dumps(handler(event, None)))
    connection.getresponse().read()
"""

PYTHON = str(Path(sys.executable).resolve())
"""Where the interpreter is, in the image as outside."""

ENTRY_POINT = (PYTHON, "-S", "/bootstrap.py")


def python_image(root: Path, code: str) -> Path:
    """An image whose ENTRYPOINT is above, with a module `app` in `/function`; its root."""
    library = Path(sysconfig.get_path("stdlib"))
    dynamic = list((library / "lib-dynload").glob("*.so"))
    wanted = [Path(PYTHON), *dynamic, *library.glob("*.py")]
    for package in PACKAGES:
        wanted += (library / package).rglob("*.py")
    for file in [*wanted, *_shared_libraries([Path(PYTHON), *dynamic])]:
        place = root / file.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    (root / "bootstrap.py").write_text(BOOTSTRAP)
    (root / "function").mkdir()
    (root / "function/app.py").write_text(code)
    for folder in (root, *root.rglob("*")):
        folder.chmod(folder.stat().st_mode | 0o055 if folder.is_dir() else 0o755)
    return root


def _shared_libraries(programs: list[Path]) -> set[Path]:
    """What the loader needs for them, under the names it looks for."""
    told = subprocess.run(
        ["ldd", *map(str, programs)], capture_output=True, text=True, check=False
    ).stdout
    return {Path(path) for path in re.findall(r"(/\S+\.so\S*) \(0x", told)}
