"""Pictures of the ops page, of a router that really runs: well, and in trouble."""

import contextlib
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from tests.browser.browser import Browser
from tests.browser.shown import Shown, shown
from tests.servers.base import running
from tests.servers.chromium import Chromium

WIDE, NARROW = 1280, 390
WIDE_HEIGHT, NARROW_HEIGHT = 860, 844

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def make(folder: Path, seconds: float) -> None:
    """Write `ops-*.png`. `seconds`: how long there is traffic before the first and the second."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        for name in ("router", "chromium", "profile"):
            (root / name).mkdir()
        with _browser(root) as browser, shown(root / "router") as router, router.traffic():
            time.sleep(seconds / 2)
            _take(browser, router, folder / "ops-light.png", "/", WIDE)
            router.trouble()
            time.sleep(seconds / 2)
            orders = f"/mappings/{router.mapping('Orders')}"
            _take(browser, router, folder / "ops-dark.png", "/", WIDE, is_dark=True)
            _take(browser, router, folder / "ops-mapping.png", orders, WIDE)
            _take(browser, router, folder / "ops-phone.png", "/", NARROW)


@contextlib.contextmanager
def _browser(root: Path) -> Iterator[Browser]:
    with running(Chromium, root / "chromium") as server:
        assert isinstance(server, Chromium)
        with contextlib.closing(Browser(server.port, root / "profile")) as browser:
            yield browser


def _take(
    browser: Browser, router: Shown, path: Path, page: str, width: int, *, is_dark: bool = False
) -> None:
    height = WIDE_HEIGHT if width == WIDE else NARROW_HEIGHT
    browser.size(width, height, is_dark=is_dark)
    browser.open(router.ops + page)
    browser.until("return document.getElementById('live').textContent === 'live'")
    time.sleep(2)  # for the next second's numbers
    path.write_bytes(smaller(browser.picture()))


def smaller(png: bytes) -> bytes:
    """The same picture, compressed as far as it goes."""
    chunks, pixels, at = [], b"", len(SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IDAT":
            pixels += body
        else:
            chunks.append((kind, body))
    chunks.insert(-1, (b"IDAT", zlib.compress(zlib.decompress(pixels), 9)))  # before the end
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return SIGNATURE + b"".join(parts)
