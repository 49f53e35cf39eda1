"""Live pages: server-sent events with the parts of a view that changed.

One `_Channel` for each view that is watched renders it once a second for all who watch it. Who
does not read is told nothing until he does, and then of the present alone; the HTTP server drops
who does not read for long. `VIEWERS_MAX` bounds all.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import orjson
import structlog

from router.http.values import Outlet, Pairs, Response, Streamed
from router.ops.desk import Rendered
from router.ops.pages.parts import Parts, difference
from router.ops.paths import View

log = structlog.get_logger(__name__)

VIEWERS_MAX: Final = 32
"""Open streams."""

STREAM_S_MAX: Final = 3_600.0
"""One stream; browsers begin another by themselves."""

EVERY_S: Final = 1.0
"""How often a view is told of changes …"""

LOAD_SHARE: Final = 20
"""… but rendering takes at most one part in so many of a processor, all channels together."""

RETRY: Final = b"retry: 2000\n\n"
"""How long a browser waits before it asks again, in ms."""

HEADERS: Final[Pairs] = (
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-store"),
    ("x-accel-buffering", "no"),
    ("x-content-type-options", "nosniff"),
)

Render = Callable[[View], Awaitable[Rendered | None]]


class Full(Exception):
    """No more streams."""


class Streams:
    """All open streams."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self._channels: dict[View, _Channel] = {}
        self.viewers = 0
        """Open ones, and those about to be."""
        self._is_over = False

    def open(self, view: View) -> Streamed:
        """A stream of a view. Raises `Full`."""
        if self.viewers >= VIEWERS_MAX or self._is_over:
            raise Full
        self.viewers += 1
        head = Response(200, RETRY, HEADERS)
        return Streamed(head, _Viewer(self, view), STREAM_S_MAX)

    def join(self, view: View, viewer: "_Viewer") -> "_Channel":
        """The channel of a view, which tells this viewer from now on."""
        channel = self._channels.get(view)
        if channel is None:
            channel = self._channels[view] = _Channel(self, view, self._render)
        channel.add(viewer)
        return channel

    def ended(self, channel: "_Channel") -> None:
        """Nobody looks at this any more."""
        if self._channels.get(channel.view) is channel:
            del self._channels[channel.view]

    @property
    def channels(self) -> int:
        """Views that are watched."""
        return len(self._channels)

    async def close(self) -> None:
        """End all streams; none begins any more."""
        self._is_over = True
        channels = list(self._channels.values())
        for channel in channels:
            channel.close()
        await asyncio.gather(*(channel.task for channel in channels), return_exceptions=True)


class _Channel:
    """One view that is watched."""

    def __init__(self, streams: Streams, view: View, render: Render) -> None:
        self.view = view
        self._streams = streams
        self._render = render
        self._viewers: list[_Viewer] = []
        self._last: Parts | None = None
        self._message: tuple[Parts | None, bytes] | None = None
        """What viewers are told who know that; most know the same."""
        self.task = asyncio.get_running_loop().create_task(self._run(), name="ops-channel")

    def add(self, viewer: "_Viewer") -> None:
        """Somebody more; what is known is told at once."""
        self._viewers.append(viewer)
        self.tell(viewer)

    def remove(self, viewer: "_Viewer") -> None:
        """Somebody less."""
        self._viewers.remove(viewer)
        if not self._viewers:
            self.task.cancel()
            self._streams.ended(self)

    def tell(self, viewer: "_Viewer") -> None:
        """What a viewer does not know yet."""
        new = self._last
        if new is None or viewer.knows is new:
            return
        if self._message is None or self._message[0] is not viewer.knows:
            self._message = viewer.knows, _message(new, viewer.knows)
        viewer.knows = new
        viewer.write(self._message[1])

    def close(self) -> None:
        """End it for all."""
        self.task.cancel()
        self._streams.ended(self)
        viewers, self._viewers = self._viewers, []
        for viewer in viewers:
            viewer.end()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                rendered = await self._render(self.view)
            except Exception as error:  # of one view: the others go on
                log.exception("ops_page_not_rendered", error=repr(error))
                break
            if rendered is None:
                break
            self._last, self._message = rendered.parts, None
            for viewer in list(self._viewers):
                if viewer.has_room:
                    self.tell(viewer)
            cost_s = loop.time() - began_s
            rest_s = max(EVERY_S, cost_s * LOAD_SHARE * self._streams.channels) - cost_s
            await asyncio.sleep(rest_s)
        for viewer in self._viewers:
            viewer.write(b"event: gone\ndata: {}\n\n")
        self.close()


class _Viewer:
    """One open stream: the HTTP server's `BodySource`."""

    def __init__(self, streams: Streams, view: View) -> None:
        self._streams = streams
        self._view = view
        self._outlet: Outlet | None = None
        self._channel: _Channel | None = None
        self._has_left = False
        self.has_room = True
        """The client reads what it is sent."""
        self.knows: Parts | None = None
        """What it was told last."""

    def open(self, outlet: Outlet) -> None:
        """See `BodySource.open`."""
        self._outlet = outlet
        self._channel = self._streams.join(self._view, self)

    def go_on(self) -> None:
        """See `BodySource.go_on`."""
        self.has_room = True
        if self._channel is not None:
            self._channel.tell(self)

    def leave(self) -> None:
        """See `BodySource.leave`."""
        channel, self._channel, self._outlet = self._channel, None, None
        if channel is not None:
            channel.remove(self)
        self._give_place()

    def write(self, data: bytes) -> None:
        """Send it."""
        if self._outlet is not None:
            self.has_room = self._outlet.write(data)

    def end(self) -> None:
        """No more is sent."""
        outlet, self._outlet, self._channel = self._outlet, None, None
        self._give_place()
        if outlet is not None:
            outlet.end(is_broken=False)

    def _give_place(self) -> None:
        if not self._has_left:
            self._has_left = True
            self._streams.viewers -= 1


def _message(new: Parts, old: Parts | None) -> bytes:
    update = difference(new, old)
    return b"data: %b\n\n" % orjson.dumps({"blocks": update.blocks, "lists": update.lists})
