"""What stands on the pages: every row, every number, and a table where rows are one."""

import html.parser

import pytest

from router.ops.facts import FunctionDetail, LaneFacts, MappingDetail
from router.ops.pages import front, function, mapping
from router.ops.pages.parts import Parts, difference
from router.ops.paths import ROWS, View
from router.telemetry.recent import Attempt
from tests.unit.ops import made


class Outline(html.parser.HTMLParser):
    """Ids, roles and headings of a page, and whether its tags fit together."""

    EMPTY = frozenset({"input", "br", "img", "meta", "link"})

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.headings, self.rows, self.text = [], [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, name, attributes):
        found = dict(attributes)
        if name not in self.EMPTY:
            self.open.append(name)
        self.ids += [found["id"]] if "id" in found else []
        if name == "th":
            assert found["scope"] in {"col", "row"}
        if name == "tr":
            self.rows.append(0)
        if name in {"th", "td"}:
            self.rows[-1] += 1

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        self.text += data
        if self.open[-1:] and self.open[-1] in {"h1", "h2"}:
            self.headings.append(data.strip())


def fronted(snapshot, view=None, history=None):
    history = history or made.past()
    parts = Parts()
    board = made.boarded(snapshot, history)
    text = "".join(front.sections(board, history, view or View(), parts))
    return Outline(text), parts


def test_an_empty_router_says_what_makes_one_useful():
    page, parts = fronted(made.snapshot())
    assert "nothing is in trouble" in page.text
    assert page.text.count("There is none yet.") == 3
    assert "AWS::Serverless::Function" in page.text
    assert {"Mappings", "Functions", "Webhooks", "Destinations"} <= set(page.headings)
    assert len(page.ids) == len(set(page.ids))
    assert parts.lists["attention-list"] == []


def test_every_kind_has_its_rows():
    snapshot = made.snapshot(
        [made.mapping(lag=1_234, in_flight=3, result="PROBLEM: Function call failed")],
        [made.function(busy=2, idle=3, provisioned=1, versions=2, aliases=("live",), waiting=7)],
        [made.webhook(accepted=5.0, refused={"bad_signature": 2.0})],
        [made.destination(waiting=4, kept=6, users=("a", "b", "c", "d"))],
    )
    page, parts = fronted(snapshot)
    for words in (
        "1,234", "Function call failed", "2 busy, 3 warm, 1 provisioned", "2 versions · live",
        "7 asynchronous wait", "2 bad signature", "for a, b, c …", "2 things in trouble",
    ):  # fmt: skip
        assert words in page.text, words
    assert len(page.ids) == len(set(page.ids))
    assert set(page.rows) == {7, 6, 5}
    assert set(parts.blocks) <= set(page.ids)
    assert set(parts.lists) <= set(page.ids)


def test_only_a_page_of_rows_with_a_way_to_the_next():
    many = made.snapshot([made.mapping(f"m{n:03}") for n in range(2 * ROWS + 5)])
    page, parts = fronted(many)
    assert len(parts.lists["mappings-rows"]) == ROWS
    assert "1–100 of 205" in page.text
    assert "next →" in page.text
    page, parts = fronted(many, View(pages=(3, 1, 1, 1)))
    assert len(parts.lists["mappings-rows"]) == 5
    assert "← before" in page.text
    page, parts = fronted(many, View(query="m017"))
    assert parts.lists["mappings-rows"] == ["m-id-m017"]
    assert "1 of 205 found" in page.text


def test_the_page_of_a_mapping():
    history = made.past()
    (row,) = made.boarded(made.snapshot([made.mapping(dropped=3.0, discarded=3.0)])).mappings
    detail = MappingDetail(
        settings=[("BatchSize", 10), ("Filters", {"a": [1]}), ("Bisect", False), ("Empty", [])],
        lanes=[LaneFacts("s:0", "waiting", 4, 2, 1_500, made.WALL_MS - 5_000)],
        lanes_count=60,
        shards=[("s", "open", 77, 12), ("t", "closed", 5, None)],
        recent=[
            Attempt(made.WALL_MS, "succeeded", 12.0, "r1", records=5, place="s:0"),
            Attempt(made.WALL_MS, "failed", 12.0, "r2", error="KeyError", attempt=3),
        ],
    )
    parts = Parts()
    sections = mapping.sections(row, detail, history, made.WALL_MS, parts)
    page = Outline("".join(it for it in sections if it))
    for words in (
        "worker", "60 lanes with something unfinished, the 1 oldest shown",
        "in 2 s", "KeyError", "succeeded", '"a"', "3 of them lost", "77",
    ):  # fmt: skip
        assert words in page.text, words
    assert len(page.ids) == len(set(page.ids))
    assert parts.lists["recent-rows"] == ["a-r1", "a-r2"]
    assert set(parts.blocks) <= set(page.ids)


def test_the_page_of_a_function():
    (row,) = made.boarded(made.snapshot((), [made.function(errors=1.0, busy=1)])).functions
    detail = FunctionDetail(
        settings=[("EnvironmentVariables", "A, B")],
        versions=[("live", "alias of 3", ""), ("3", "published version", "the third")],
        mappings=[("id-1", "orders")],
        recent=[Attempt(made.WALL_MS, "timeout", 3_000.0, "r", init_ms=20.0, memory_mb=64)],
    )
    parts = Parts()
    sections = function.sections(row, detail, made.past(), made.WALL_MS, parts)
    page = Outline("".join(it for it in sections if it))
    for words in ("invoked by ", "orders", "alias of 3", "64 MB", "20 ms", "A, B", "timeout"):
        assert words in page.text, words
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("is_first", [True, False])
def test_a_difference_is_what_changed(is_first):
    old, new = Parts(), Parts()
    for parts, words in ((old, "1"), (new, "2")):
        parts.block("p", "changes", words)
        parts.block("p", "stays", "x")
        parts.list("ul", "list", [("row", parts.block("li", "row", "y"))])
    update = difference(new, None if is_first else old)
    assert set(update.blocks) == ({"changes", "stays", "row"} if is_first else {"changes"})
    assert update.lists == ({"list": ["row"]} if is_first else {})
