import json
from pathlib import Path

import pytest

import router.control
from router.model.runtimes import KNOWN, RETIRED, RUNTIMES, Family, family_of, version_of


def test_every_name_of_the_model_is_known():
    overlay = Path(router.control.__file__).with_name("overlay") / "lambda.json"
    names = json.loads(overlay.read_bytes())["shapes"]["Runtime"]["enum"]
    assert set(names) == KNOWN
    assert len(names) == 52


def test_a_function_names_nothing_retired():
    assert not set(RUNTIMES) & RETIRED
    assert all(family_of(name) is not None for name in RUNTIMES)
    assert all(family_of(name) is None for name in (*RETIRED, "custom", "python9", ""))


@pytest.mark.parametrize(
    ("name", "family", "version"),
    [
        ("python3.12", Family.PYTHON, "3.12"),
        ("nodejs22.x", Family.NODEJS, "22"),
        ("java8.al2", Family.JAVA, "8"),
        ("java17.al2023", Family.JAVA, "17"),
        ("ruby3.4", Family.RUBY, "3.4"),
        ("dotnet10", Family.DOTNET, "10"),
        ("provided", Family.PROVIDED, ""),
        ("provided.al2023", Family.PROVIDED, ""),
    ],
)
def test_a_name_says_what_and_which(name, family, version):
    assert (family_of(name), version_of(name)) == (family, version)
