"""What a process said before it ended is heard, however late the router gets to it."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from router.workers import wire
from router.workers.process import Environment
from tests.patience import PATIENCE_S

FRAME = wire.encode(wire.INIT_FAILED, b'{"type":"Runtime.ImportModuleError"}', b'{"why":1}')
EXITED = 1 << 8
TIMEOUT_MS = 5_000


class Output:
    """Nobody reads it here."""

    def __init__(self) -> None:
        self.write_fd = os.open(os.devnull, os.O_WRONLY)

    def drain(self) -> None:
        """Nothing is in it."""


class Zygote:
    """Forks nothing: plays a process that says its words and ends, at the moment of a test."""

    def __init__(self, play: Callable[[socket.socket, Callable[[int], None]], None]) -> None:
        self._play = play

    def fork(
        self, _message: dict[str, Any], fds: tuple[int, int], on_exit: Callable[[int], None]
    ) -> "asyncio.Future[int]":
        os.close(fds[1])
        self._play(socket.socket(fileno=fds[0]), on_exit)
        future = asyncio.get_running_loop().create_future()
        future.set_result(4711)
        return future

    async def forked(self, forking: "asyncio.Future[int]") -> int:
        return await forking

    def kill(self, _pid: int) -> None:
        """It is gone."""


def says_and_ends(theirs: socket.socket, on_exit: Callable[[int], None]) -> None:
    """Before the router so much as looks at its socket."""
    theirs.sendall(FRAME)
    theirs.close()
    on_exit(EXITED)


def is_heard_of_late(theirs: socket.socket, on_exit: Callable[[int], None]) -> None:
    """The router is connected, hears of the end, and is held up before it reads."""

    def end() -> None:
        theirs.sendall(FRAME[:7])
        theirs.sendall(FRAME[7:])
        on_exit(EXITED)
        theirs.close()
        time.sleep(0.3)

    asyncio.get_running_loop().call_later(0.05, end)


def ends_silently(theirs: socket.socket, on_exit: Callable[[int], None]) -> None:
    theirs.close()
    on_exit(EXITED)


async def first_frame(play: Callable[..., None]) -> tuple[wire.Frame | None, Environment, int]:
    ended: list[Environment] = []
    env = Environment(Zygote(play), Output(), tmp_path="", on_end=ended.append)  # type: ignore[arg-type]
    frame = await env.start({}, TIMEOUT_MS)
    await asyncio.wait_for(env.gone(), PATIENCE_S)
    return frame, env, len(ended)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("play", [says_and_ends, is_heard_of_late])
def test_the_last_words_of_a_process_are_heard(
    run: Callable[..., Any], play: Callable[..., None]
) -> None:
    frame, env, ends = run(first_frame(play))
    assert frame == (wire.INIT_FAILED, b'{"type":"Runtime.ImportModuleError"}', b'{"why":1}')
    assert (env.status, env.is_alive, ends) == (EXITED, False, 1)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_process_that_says_nothing_is_not_waited_for(run: Callable[..., Any]) -> None:
    frame, env, ends = run(first_frame(ends_silently))
    assert frame is None
    assert (env.status, ends) == (EXITED, 1)
