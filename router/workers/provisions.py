"""Environments started ahead of any invocation, and kept (`functions-and-invocation.md` 8.5, 9).

One `Provision` for each version that asks for some. What dies is replaced; what cannot be
initialised is tried again, ever more slowly, and is `FAILED` after `FAILURES_MAX` tries in a row.
"""

import asyncio
import collections
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import structlog

from router.model.errors import RouterError
from router.model.function import FunctionVersion
from router.workers.process import Environment

log = structlog.get_logger()

STARTS_AT_ONCE: Final = 4
"""Environments being started ahead; invocations that have none of their own go first."""

FAILURES_MAX: Final = 3
"""Initialisations in a row that failed, after which a version's provision counts as failed."""

RETRY_S: Final = 1.0
"""First wait after one that failed; it doubles each time."""

RETRY_S_MAX: Final = 60.0
ROOM_RETRY_S_MAX: Final = 5.0
"""Longest such wait; where nothing is wrong with the function itself, there may be room soon."""

Key = tuple[str, str, str, str]
"""As the pool's: function name, version, revision and code hash."""

StartAhead = Callable[[FunctionVersion], Awaitable[Environment | None]]
"""Makes an environment; None when its initialisation failed. Raises `RouterError` when the
function is not to blame."""


def key_of(function: FunctionVersion) -> Key:
    """What may share an environment."""
    return (function.name, function.version, function.revision, function.code_hash)


class Provision:
    """The environments of one version."""

    def __init__(self, function: FunctionVersion) -> None:
        self.function = function
        self.wanted = 0
        self.ready: set[Environment] = set()
        """Initialised and alive, busy ones among them."""
        self.idle: collections.deque[Environment] = collections.deque()
        self.starting = 0
        self.failures = 0
        """Starts in a row that came to nothing."""
        self.is_broken = False
        """The function's own initialisation is what fails."""
        self.has_been_ready = False
        """As many as are wanted were ready at once, since that number was asked for."""
        self.retry_at_s = 0.0

    @property
    def has_failed(self) -> bool:
        """Whether nothing better is expected soon."""
        return self.is_broken and self.failures >= FAILURES_MAX


class Provisions:
    """All of them: `keep` says what shall be, and from `open` on it is brought about."""

    def __init__(self, start: StartAhead) -> None:
        self._start = start
        self.by_key: dict[Key, Provision] = {}
        self.on_change: Callable[[FunctionVersion, int], None] = lambda *_: None
        """Called when another number of environments of a version is ready."""
        self.owners: dict[Environment, Provision] = {}
        """Whose each environment is, until its process is gone."""
        self._starting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_open = False
        self._is_closing = False

    def open(self) -> None:
        """Start what is wanted: all that environments need is there now."""
        self._is_open = True
        self._fill()

    def keep(self, wanted: Iterable[tuple[FunctionVersion, int]]) -> None:
        """Have so many of each version from now on, and of no other."""
        counts = {key_of(function): (function, count) for function, count in wanted}
        for key, (function, count) in counts.items():
            provision = self.by_key.setdefault(key, Provision(function))
            if provision.wanted != count:
                provision.wanted = count
                provision.has_been_ready = len(provision.ready) >= count
                provision.failures, provision.retry_at_s = 0, 0.0
        for key, provision in list(self.by_key.items()):
            if key not in counts:
                provision.wanted = 0
                del self.by_key[key]
            self._shrink(provision)
        self._fill()

    def of(self, function: FunctionVersion) -> Provision | None:
        """A version's provision."""
        return self.by_key.get(key_of(function))

    def take(self, key: Key) -> Environment | None:
        """A free environment of a version, the last one used first."""
        provision = self.by_key.get(key)
        while provision is not None and provision.idle:
            env = provision.idle.pop()
            if env.is_alive:
                return env
        return None

    def give_back(self, env: Environment) -> bool:
        """After an invocation; False: it is none of these."""
        provision = self.owners.get(env)
        if provision is None:
            return False
        if not env.is_alive or env.is_retired or self._is_closing:
            env.end()
        elif len(provision.ready) > provision.wanted:
            self._end(provision, env)
        else:
            provision.idle.append(env)
        return True

    def ended(self, env: Environment) -> None:
        """The process is gone."""
        provision = self.owners.pop(env, None)
        if provision is None:
            return
        if env in provision.idle:  # by itself: it would do so again at once
            provision.idle.remove(env)
            self._wait_longer(provision)
        if env in provision.ready:
            provision.ready.remove(env)
            self.on_change(provision.function, len(provision.ready))
        self._fill()

    def close(self) -> None:
        """Start nothing any more. The pool ends what is there."""
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _shrink(self, provision: Provision) -> None:
        while provision.idle and len(provision.ready) > provision.wanted:
            self._end(provision, provision.idle.popleft())

    def _end(self, provision: Provision, env: Environment) -> None:
        provision.ready.discard(env)
        env.is_retired = True
        env.end()
        self.on_change(provision.function, len(provision.ready))

    def _fill(self) -> None:
        """Start what is missing, as far as may be started now."""
        if not self._is_open or self._is_closing:
            return
        now_s = asyncio.get_running_loop().time()
        waits = []
        for provision in self.by_key.values():
            while len(provision.ready) + provision.starting < provision.wanted:
                if self._starting >= STARTS_AT_ONCE:
                    return
                if provision.retry_at_s > now_s:
                    waits.append(provision.retry_at_s)
                    break
                self._begin(provision)
        if waits:
            self._look_again(min(waits))

    def _look_again(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at_s, self._fill)

    def _begin(self, provision: Provision) -> None:
        provision.starting += 1
        self._starting += 1
        task = asyncio.get_running_loop().create_task(self._start_one(provision))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start_one(self, provision: Provision) -> None:
        function = provision.function
        env: Environment | None = None
        try:
            env = await self._start(function)
            provision.is_broken = env is None
        except RouterError as error:
            provision.is_broken = False
            log.warning(
                "provisioned_not_started",
                function=function.name,
                version=function.version,
                text=str(error),
            )
        finally:
            provision.starting -= 1
            self._starting -= 1
        if env is None or not env.is_alive:
            self._wait_longer(provision)
        else:
            self._welcome(provision, env)
        self._fill()

    def _welcome(self, provision: Provision, env: Environment) -> None:
        self.owners[env] = provision
        provision.failures = 0
        provision.ready.add(env)
        if len(provision.ready) > provision.wanted:  # fewer are wanted by now
            self._end(provision, env)
            return
        provision.idle.append(env)
        provision.has_been_ready |= len(provision.ready) == provision.wanted
        self.on_change(provision.function, len(provision.ready))

    def _wait_longer(self, provision: Provision) -> None:
        provision.failures += 1
        if provision.is_broken and provision.failures == FAILURES_MAX:
            function = provision.function
            log.error(
                "provisioned_failed",
                function=function.name,
                version=function.version,
                why="its initialisation fails; its log says how",
            )
        longest_s = RETRY_S_MAX if provision.is_broken else ROOM_RETRY_S_MAX
        wait_s = min(longest_s, RETRY_S * 2 ** min(provision.failures - 1, 10))
        now_s = asyncio.get_running_loop().time()
        provision.retry_at_s = max(provision.retry_at_s, now_s + wait_s)
