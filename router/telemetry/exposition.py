"""What a scrape is answered: all metrics in Prometheus's text format or as OpenMetrics.

Rendered in the event loop in turns of two milliseconds, with rests between: a thread would be no
better, it holds the interpreter for five milliseconds whenever the loop wants it back, hundreds of
times for thousands of mappings (`performance.md` 2, G15). Compressing lets go of it, so that is
done in a thread, piece by piece: ten thousand mappings are some eighty megabytes of text.
"""

import asyncio
import zlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from prometheus_client.exposition import choose_encoder, gzip_accepted

from router.telemetry import metrics
from router.telemetry.cells import Family
from router.telemetry.slices import Slices

PIECE_CHARACTERS: Final = 256 * 1024
"""What is compressed or encoded at a time."""

INLINE_BYTES: Final = 128 * 1024
"""Compressed in less time than a thread takes to begin: all of a router with some mappings."""

LINES_A_LOOK: Final = 32
"""Children rendered between two looks at the clock; a histogram's has some twenty lines."""

GZIP_LEVEL: Final = 1
"""Half the time of the usual one; the text shrinks to a twentieth all the same."""

GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
"""zlib's way of saying gzip."""

UNITS: Final = ("seconds", "bytes")


class Form(NamedTuple):
    """What the one who asks can read."""

    content_type: str
    is_open: bool
    """OpenMetrics."""
    is_gzip: bool


class Exposition(NamedTuple):
    """An answer's body and headers."""

    body: bytes
    headers: tuple[tuple[str, str], ...]


def form_of(accept: str, accept_encoding: str) -> Form:
    """What these headers of a request ask for, as the library's own server reads them."""
    _encoder, content_type = choose_encoder(accept)
    is_open = content_type.startswith("application/openmetrics-text")
    return Form(content_type, is_open, gzip_accepted(accept_encoding))


async def expose(form: Form) -> Exposition:
    """All metrics as they are now."""
    slices = Slices()
    squeeze = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WINDOW) if form.is_gzip else None
    body: list[bytes] = []
    piece: list[str] = []
    size = 0
    for number, text in enumerate(_texts(is_open=form.is_open)):
        piece.append(text)
        size += len(text)
        if size >= PIECE_CHARACTERS:
            body.append(await _packed(piece, squeeze, slices))
            size = 0
        if number % LINES_A_LOOK == 0 and slices.is_due:
            await slices.pause()
    body.append(await _packed(piece, squeeze, slices))
    if squeeze is not None:
        body.append(squeeze.flush())
    metrics.SCRAPE_DURATION.observe(slices.spent_s)
    headers = [("content-type", form.content_type), ("vary", "accept, accept-encoding")]
    if form.is_gzip:
        headers.append(("content-encoding", "gzip"))
    return Exposition(b"".join(body), tuple(headers))


async def _packed(piece: list[str], squeeze: Any, slices: Slices) -> bytes:
    """The texts as bytes; empties the list."""
    data = "".join(piece).encode()
    piece.clear()
    if squeeze is None:
        return data
    if len(data) <= INLINE_BYTES:
        return bytes(squeeze.compress(data))
    with slices.aside():
        packed: bytes = await asyncio.to_thread(squeeze.compress, data)
    return packed


def _texts(*, is_open: bool) -> Iterator[str]:
    for family in metrics.FAMILIES:
        yield _header(family, is_open=is_open)
        yield from family.lines()
    # What the library collects it also renders, and ends the document as its format asks.
    encoder, _content_type = choose_encoder(OPEN if is_open else "")
    yield encoder(metrics.LIBRARY).decode()


OPEN: Final = "application/openmetrics-text; version=1.0.0"


def _header(family: Family[Any], *, is_open: bool) -> str:
    """`# HELP` and `# TYPE`, for OpenMetrics of a counter without its suffix, and `# UNIT`."""
    name = family.family_name if is_open else family.facts.name
    text = family.facts.text.replace("\\", r"\\").replace("\n", r"\n")
    if is_open:
        text = text.replace('"', r"\"")
    lines = f"# HELP {name} {text}\n# TYPE {name} {family.kind}\n"
    unit = name.rpartition("_")[2]
    return f"{lines}# UNIT {name} {unit}\n" if is_open and unit in UNITS else lines
