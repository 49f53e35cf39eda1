"""Nothing that comes from outside can be markup."""

import html.parser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.ops.html import Html, join, tag, text

HOSTILE = "<script>alert(1)</script>\" onload='x' & </td><img src=x onerror=y>"


def test_children_and_values_are_escaped():
    made = tag("p", HOSTILE, [HOSTILE, None, 3], title=HOSTILE, data_label="a", hidden=False)
    assert "<script" not in made
    assert "<img" not in made
    assert made.startswith('<p title="&lt;script&gt;')
    assert 'data-label="a"' in made
    assert made.endswith("3</p>")


def test_markup_is_kept_as_it_is():
    inner = tag("b", "x")
    assert tag("p", inner, class_="a b") == '<p class="a b"><b>x</b></p>'
    assert join([inner, " & "]) == "<b>x</b> &amp; "
    assert text(None) == ""
    assert tag("br") == "<br>"
    assert tag("script", src="/a.js", defer=True) == '<script src="/a.js" defer></script>'


@pytest.mark.parametrize("name", ["", "a b", "p><script", "1x", "on\nload"])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(ValueError, match="no name"):
        tag("p", **{name: "x"})


class Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, name, attributes):
        self.seen.append((name, attributes))

    def handle_data(self, data):
        self.seen.append(data)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\r\0")))
def test_a_parser_reads_back_what_went_in(value):
    reader = Reader()
    reader.feed(tag("p", value, title=value))
    reader.close()
    assert reader.seen[0] == ("p", [("title", value)])
    assert "".join(reader.seen[1:]) == value
    assert isinstance(tag("p", value), Html)
