"""One router and one browser for all tests of a module; a second browser runs no scripts."""

import contextlib

import pytest

from tests.browser.browser import Browser
from tests.browser.shown import shown

HOSTILE = "CardRefused<script>window.hit=1</script><img src=x onerror='window.hit=1'>"
"""What the functions call their error."""


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    with shown(tmp_path_factory.mktemp("shown"), error=HOSTILE) as router:
        yield router


@pytest.fixture(scope="module")
def browser(chromium, tmp_path_factory):
    with contextlib.closing(Browser(chromium.port, tmp_path_factory.mktemp("profile"))) as browser:
        yield browser


@pytest.fixture
def scriptless(chromium, tmp_path):
    """A browser in which no page runs a script."""
    with contextlib.closing(Browser(chromium.port, tmp_path, has_script=False)) as browser:
        yield browser
