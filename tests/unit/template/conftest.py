"""Templates as text, loaded from a folder with code in it."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from router.template import sam
from router.template.desired import DesiredState
from router.template.load import load_template
from router.template.problems import Problem, TemplateRefused

Load = Callable[..., DesiredState]
Refuse = Callable[..., tuple[Problem, ...]]


@pytest.fixture(scope="session")
def warm_translator():
    """Runs the translator in forks of one process that has imported it."""
    script = Path(__file__).with_name("warm_translator.py")
    command = [sys.executable, "-P", str(script), str(sam._CHILD)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:

        def run(request: str) -> "subprocess.CompletedProcess[str]":
            process.stdin.write(request + "\n")
            reply = process.stdout.readline()
            return subprocess.CompletedProcess(command, 0 if reply.strip() else 1, reply, "failed")

        yield run
        process.stdin.close()


@pytest.fixture(autouse=True)
def translator(request, monkeypatch):
    """Started for the first template that needs it; `test_sam.py` has the real one."""

    def run(text: str) -> "subprocess.CompletedProcess[str]":
        return request.getfixturevalue("warm_translator")(text)

    monkeypatch.setattr(sam, "_run_child", run)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder named `shop` with a function's code in `code/app.py`."""
    root = tmp_path / "shop"
    (root / "code").mkdir(parents=True)
    (root / "code" / "app.py").write_text("def handler(event, context):\n    return event\n")
    return root


@pytest.fixture
def load(folder: Path) -> Load:
    def run(text: str, parameters: dict[str, str] | None = None, **options: str) -> DesiredState:
        path = folder / "template.yaml"
        path.write_text(textwrap.dedent(text))
        return load_template(path, parameters, **options)

    return run


@pytest.fixture
def refuse(load: Load) -> Refuse:
    """The problems of a template that must not load."""

    def run(text: str, parameters: dict[str, str] | None = None, **options: str):
        with pytest.raises(TemplateRefused) as caught:
            load(text, parameters, **options)
        return caught.value.problems

    return run
