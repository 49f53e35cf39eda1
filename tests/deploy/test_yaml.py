"""Every YAML file of the project that is not a test's: well-formed, no key twice."""

from tests.deploy.tools import ROOT, passes, tool

PLACES = ("deploy", "k8s", "examples", "docker-compose.yml")


def test_yaml_files_are_sound() -> None:
    places = [ROOT / place for place in PLACES if (ROOT / place).exists()]
    assert places
    passes(tool("yamllint"), "--strict", *places)
