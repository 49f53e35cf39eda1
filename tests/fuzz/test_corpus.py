"""What is kept stays harmless: every input of the corpus, with its time and memory."""

import importlib
import time

import pytest

from tests.fuzz.__main__ import CORPUS, TARGETS, kept
from tests.fuzz.bounds import CPU_S_MAX, TooLarge, TooSlow, check


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name):
    target = importlib.import_module(f"tests.fuzz.targets.{name}")
    inputs = kept(name)
    assert inputs
    for path in inputs:
        check(target, path.read_bytes())


def test_every_folder_has_its_target():
    assert sorted(path.name for path in CORPUS.iterdir()) == TARGETS


class Slow:
    @staticmethod
    def one_input(data):
        until_s = time.process_time() + 1.2 * CPU_S_MAX
        while time.process_time() < until_s:
            pass


class Large:
    @staticmethod
    def one_input(data):
        data * 20_000_000


class Broken:
    @staticmethod
    def one_input(data):
        raise ZeroDivisionError

    oracle = one_input


class Wrong(Broken):
    @staticmethod
    def one_input(data):
        return


@pytest.mark.parametrize(
    ("target", "error"),
    [(Slow, TooSlow), (Large, TooLarge), (Broken, ZeroDivisionError), (Wrong, ZeroDivisionError)],
)
def test_the_bounds_can_be_broken(target, error):
    with pytest.raises(error):
        check(target, b"x")
