"""The ops page in a real browser, of a real router under load."""

import urllib.parse

import pytest

from tests.browser.browser import ENTER, TAB
from tests.browser.conftest import HOSTILE
from tests.integration.bed import call

pytestmark = pytest.mark.timeout(240)
"""A busy machine starts a router and a browser in half a minute."""

WIDE, NARROW = 1280, 390

CONTRASTS = """
const parse = (text) => {
  const found = text.match(/[\\d.]+/g).map(Number);
  return found.length === 3 ? [...found, 1] : found;
};
const linear = (part) => {
  const share = part / 255;
  return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
};
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = parse(getComputedStyle(at).backgroundColor);
    if (color[3] === 1) return color;
    if (color[3] > 0) return null;
  }
  return [255, 255, 255, 1];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const found = [];
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  const box = element.getBoundingClientRect();
  if (!walker.currentNode.textContent.trim() || box.width < 2 || box.height < 2) continue;
  if (element.closest(".unseen, .skip")) continue;
  const [color, below] = [parse(getComputedStyle(element).color), ground(element)];
  const [high, low] = [light(color), light(below)].sort((a, b) => b - a);
  found.push([(high + 0.05) / (low + 0.05), walker.currentNode.textContent.trim().slice(0, 40)]);
}
return found;
"""

FOCUSED = "const it = document.activeElement; return [it.id, it.textContent, it.href || '']"


@pytest.fixture(scope="module", autouse=True)
def troubled(router):
    """Traffic for all tests, and trouble."""
    with router.traffic():
        router.trouble()
        yield


@pytest.fixture
def front(router, browser):
    browser.size(WIDE, 900)
    browser.open(router.ops + "/")
    return browser


def pages(router):
    return ["/", f"/mappings/{router.mapping('Orders')}", "/functions/charge-cards"]


def test_it_is_live_under_load(front):
    front.until("return document.getElementById('live').textContent === 'live'")
    row = "document.querySelector('#mappings-rows a[href^=\"/mappings/\"]').closest('tr')"
    assert front.run(f"return {row}.querySelectorAll('td').length") == 6
    handled = "document.querySelector('#tile-handled .note').textContent"
    before = front.run(f"return {handled}")
    front.until(f"return {handled} !== arguments[0] && arguments[0]", before)
    front.until("return /[1-9]/.test(document.querySelector('#tile-handled .value').textContent)")
    drawn = "document.querySelector('#tile-handled .spark .line').getAttribute('d')"
    picture = front.run(f"return {drawn}")
    front.until(f"return {drawn} !== arguments[0]", picture)


def test_trouble_comes_first_with_its_reason(router, front):
    """A lane that is stuck, and a webhook that refuses most, before all that is well."""
    first = "document.querySelector('#mappings-rows tr')"
    front.until(f"return {first}.textContent.includes('Orders')")
    front.until(f"return {first}.querySelector('.why')?.textContent.includes('CardRefused')")
    front.until(f"return {first}.querySelector('.sign').classList.contains('bad')")
    front.until("return document.getElementById('attention-count').textContent.includes('trouble')")
    router.refuse()
    refuses = "document.getElementById('attention-list').textContent"
    front.until(f"return /live-Stripe.*requests refused in a minute/.test({refuses})")
    levels = front.run(
        "return [...document.querySelectorAll('#mappings-rows tr')].map((it) => it.className)"
    )
    rank = {"row bad": 0, "row warn": 1, "row note": 2, "row well": 3, "row off": 4}
    assert [rank[it] for it in levels] == sorted(rank[it] for it in levels)
    front.until("return document.getElementById('destinations').textContent.includes('lie here')")


def test_what_functions_call_their_errors_is_text(router, front):
    for path in pages(router):
        front.open(router.ops + path)
        front.until("return document.body.textContent.includes(arguments[0])", HOSTILE)
        assert front.run("return window.hit") is None
        assert front.run("return document.querySelectorAll('img[src=x]').length") == 0


def test_nothing_secret_is_shown(router, front):
    front.open(router.ops + "/functions/charge-cards")
    text = front.text("main")
    assert "API_TOKEN, MODE" in text
    for path in pages(router):
        front.open(router.ops + path)
        assert "canary-5d1f" not in front.run("return document.documentElement.outerHTML")


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_it_is_readable_in_both_themes_and_fits_a_phone(router, browser, is_dark):
    for path in pages(router):
        browser.size(NARROW, 844, is_dark=is_dark)
        browser.open(router.ops + path)
        widths = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert widths == [NARROW, NARROW], path
        for width in (NARROW, WIDE):
            browser.size(width, 844, is_dark=is_dark)
            found = browser.run(CONTRASTS)
            assert len(found) > 50
            low = [(round(ratio, 2), text) for ratio, text in found if ratio < 4.5]
            assert not low, (path, width)
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(15, 18, 24)") is is_dark


def test_all_of_it_is_reached_by_keyboard(front):
    front.run("document.body.focus()")
    front.press(TAB)
    assert front.run(FOCUSED)[1] == "Skip to content"
    assert front.run("return document.activeElement.getBoundingClientRect().left") >= 0
    front.press(ENTER)
    front.until("return document.activeElement.id === 'main'")
    seen = []
    for _ in range(60):
        front.press(TAB)
        seen.append(front.run(FOCUSED))
    links = front.run(
        "return [...document.querySelectorAll('#mappings-rows a, #functions-rows a')]"
        ".map((it) => it.textContent)"
    )
    assert len(links) == 8
    assert set(links) <= {text for _, text, _ in seen}
    assert "q" in {id_ for id_, _, _ in seen}


def test_the_focus_stays_while_rows_change(front):
    front.run("document.querySelector('#mappings-rows a').focus()")
    _, name, href = front.run(FOCUSED)
    for _ in range(2):
        shown = front.text("#stamp")
        front.until("return document.getElementById('stamp').textContent !== arguments[0]", shown)
    assert front.run(FOCUSED)[1:] == [name, href]
    front.press(ENTER)
    front.until("return location.pathname.startsWith('/mappings/')")
    assert front.text("h1 .name") == name


def test_a_mapping_has_its_batches_and_a_function_its_invocations(router, front):
    front.open(router.ops + f"/mappings/{router.mapping('RepositoryEvents')}")
    front.until("return document.querySelectorAll('#recent-rows tr').length === 25")
    last = front.text("#recent-rows tr code")
    front.until(
        "return document.querySelector('#recent-rows tr code').textContent !== arguments[0]", last
    )
    assert "BatchSize" in front.text("#settings-rows")
    front.run("document.querySelector('.route a').click()")
    front.until("return location.pathname === '/functions/repository-events'")
    front.until("return document.querySelectorAll('#recent-rows tr').length === 25")


def test_what_is_searched_is_found(router, front):
    front.press("/")
    assert front.run(FOCUSED)[0] == "q"
    front.press("archive" + ENTER)
    front.until("return location.search === '?q=archive'")
    assert front.texts("#mappings-rows a") == ["Archive"]
    assert "1 of 5 found" in front.text("#mappings h2")
    front.until("return document.getElementById('live').textContent === 'live'")
    assert front.texts("#mappings-rows a") == ["Archive"]


def test_it_asks_nobody_else_and_has_no_complaint(router, browser):
    browser.requests()
    browser.complaints()
    for path in pages(router):
        browser.open(router.ops + path)
        browser.until("return document.getElementById('live').textContent === 'live'")
    asked = browser.requests()
    assert len(asked) > len(pages(router))
    assert {urllib.parse.urlsplit(url).netloc for url in asked} == {router.ops.split("//")[1]}
    assert browser.complaints() == []


def test_without_scripts_it_says_the_same(router, scriptless):
    scriptless.open(router.ops + "/?q=orders")
    page = scriptless.devtools("DOM.getDocument")
    html = scriptless.devtools("DOM.getOuterHTML", nodeId=page["root"]["nodeId"])["outerHTML"]
    assert "as of" in html
    assert "CardRefused" in html
    assert "1 of 5 found" in html


def test_what_is_deleted_is_said_to_be_gone(router, front):
    id_ = router.mapping("MailQueue")
    front.open(router.ops + f"/mappings/{id_}")
    front.until("return document.getElementById('live').textContent === 'live'")
    path = f"/2015-03-31/event-source-mappings/{id_}"
    assert call(router.bed.addresses["api"], path, method="DELETE").status == 202
    front.until("return document.getElementById('live').textContent === 'gone since'")
    front.open(router.ops + f"/mappings/{id_}")
    assert "There is no such mapping" in front.text("h1")


def test_a_router_that_stops_is_said_to_be_away(router, front):
    """Last: the others need the router."""
    front.until("return document.getElementById('live').textContent === 'live'")
    shown = front.text("#tile-handled .value")
    assert shown
    router.bed.stop()
    front.until("return document.getElementById('live').textContent === 'waiting since'")
