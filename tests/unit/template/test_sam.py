"""The SAM translator stays outside: its memory, its prints, its failures."""

import json
import subprocess
import sys

import pytest

from router.model.errors import TemplateError
from router.template import sam

pytestmark = pytest.mark.slow

SAM = """\
    Transform: AWS::Serverless-2016-10-31
    Resources:
      Save:
        Type: AWS::Serverless::Function
        Properties:
          Runtime: python3.12
          Handler: app.handler
          CodeUri: ./code
          Description: {}
    """


@pytest.fixture(autouse=True)
def translator():
    """The process the router starts."""


def test_translator_is_never_imported_here(load):
    """`samtranslator` costs 50 MB: only the child may pay it."""
    code = (
        "import sys; from pathlib import Path; from router.template.load import load_template; "
        "load_template(Path('examples/webhooks/template.yaml')); "
        "sys.exit('samtranslator' in sys.modules or 'boto3' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_child_answers_json_alone_whatever_is_printed():
    request = json.dumps({"template": {"Resources": {"X": {"Type": "Nope"}}}, "region": "r"})
    command = [sys.executable, "-P", str(sam._CHILD)]
    child = subprocess.run(command, input=request, capture_output=True, text=True, check=True)
    assert list(json.loads(child.stdout)) == ["template"]


def test_same_template_is_translated_once(load, monkeypatch):
    load(SAM.format("once"))
    monkeypatch.setattr(sam.subprocess, "run", None)
    assert load(SAM.format("once")).functions[0].description == "once"


def test_failing_child_is_a_template_error(load, monkeypatch, tmp_path):
    broken = tmp_path / "child.py"
    broken.write_text("raise SystemExit('no translator here')")
    monkeypatch.setattr(sam, "_CHILD", broken)
    with pytest.raises(TemplateError, match=r"exit code 1\): no translator here"):
        load(SAM.format("broken"))


def test_slow_child_is_a_template_error(load, monkeypatch, tmp_path):
    slow = tmp_path / "child.py"
    slow.write_text("import time; time.sleep(30)")
    monkeypatch.setattr(sam, "_CHILD", slow)
    monkeypatch.setattr(sam, "CHILD_DEADLINE_S", 0.2)
    with pytest.raises(TemplateError, match="longer than"):
        load(SAM.format("slow"))
