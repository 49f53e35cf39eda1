"""Which address is which page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.ops.paths import QUERY_CHARACTERS_MAX, View, link, view_of


def test_addresses_of_pages():
    assert view_of("/", "") == View()
    assert view_of("/", "q=a%20b&functions=3&mappings=x&webhooks=-1&other=1") == View(
        query="a b", pages=(1, 3, 1, 1)
    )
    assert view_of("/", f"q={'x' * 500}").query == "x" * QUERY_CHARACTERS_MAX
    assert view_of("/mappings/a%2Fb", "q=1") == View("mapping", "a/b")
    assert view_of("/functions/f", "") == View("function", "f")
    for path in ("", "/mappings/", "/mappings", "/other", "/page/x"):
        assert view_of(path, "") is None


@pytest.mark.parametrize("query", ["&" * 1_000, "mappings=" + "9" * 5_000, "q=%ff", "mappings=²"])
def test_odd_queries_are_the_first_page(query):
    assert view_of("/", query).pages == (1, 1, 1, 1)


@given(st.text(min_size=1), st.text(max_size=80), st.integers(1, 9))
def test_an_address_leads_to_what_it_was_made_of(name, words, number):
    words = words.strip().encode("utf-8", "replace").decode()
    name = name.encode("utf-8", "replace").decode()
    assert view_of(link("mapping", name), "") == View("mapping", name)
    view = View(query=words).turned("functions", number)
    path, _, query = view.address.partition("?")
    assert view_of(path, query) == view
