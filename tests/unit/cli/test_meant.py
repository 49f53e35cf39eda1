"""Names as people type them: a function's own, or a template's logical id."""

import click
import pytest

from router.cli.meant import meant
from router.template.names import physical_name


def made(stack, logical_id):
    return physical_name(stack, logical_id, 64)


KNOWN = [made("shop", "Save"), made("shop", "Load"), made("other", "Load"), "Plain", "a-Plain-X"]


def test_a_name_is_itself_even_where_a_template_has_it_too():
    assert meant("Plain", [*KNOWN, made("shop", "Plain")]) == "Plain"
    assert meant(KNOWN[0], KNOWN) == KNOWN[0]


def test_a_logical_id_is_the_function_made_for_it():
    assert meant("Save", KNOWN) == KNOWN[0]
    assert meant("Save", [made("the-Save-stack", "Save")]) == made("the-Save-stack", "Save")


@pytest.mark.parametrize("text", ["save", "Sav", "shop-Save", "Nothing", "", "X", ".*", "a-Plain"])
def test_what_is_neither_stays(text):
    assert meant(text, KNOWN) == text


def test_what_looks_like_a_made_name_and_is_none_stays():
    assert meant("Save", ["shop-Save-AAAAAAAAAAAA"]) == "Save"


def test_several_are_named():
    with pytest.raises(click.UsageError, match=r"is several functions: other-Load-\w+, shop-Lo"):
        meant("Load", KNOWN)
