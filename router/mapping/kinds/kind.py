"""What the manager asks of a kind of source, whatever runs behind it.

A kind makes lives. A life is one mapping from its beginning to its end: settings change within
it, a drain may be taken back; a mapping that is disabled and enabled again has another one.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from router.mapping.shares import Choose, all_one
from router.mapping.tape import Tape
from router.mapping.view import LaneView, LastError, ShardPlace
from router.model.function import FunctionVersion
from router.model.mapping_spec import MappingSpec
from router.model.resources import Mapping
from router.telemetry.mapping_metrics import MappingMetrics


class Past(msgspec.Struct):
    """What became of a mapping's progress. May change whenever a kind waits for something."""

    is_forgotten: bool = False
    """Its progress was dropped: what a life still holds is about an earlier one."""
    is_source_new: bool = False
    """Its source was dropped and begins again, so that LATEST has nothing to skip."""
    is_over: bool = False
    """The router stops: nothing begins any more."""

    @property
    def may_begin(self) -> bool:
        """Whether a life that was asked for is still wanted."""
        return not (self.is_forgotten or self.is_over)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One mapping that is to run."""

    spec: MappingSpec
    past: Past
    numbers: MappingMetrics
    resolve: Callable[[], FunctionVersion]
    """The function to run, asked for at each invocation. Raises `NotInvoked`."""
    slowest: Callable[[], FunctionVersion] | None = None
    """Of the versions that `resolve` may give now the one with the longest timeout: messages are
    hidden for as long before it is drawn. None: ask `resolve`. Raises `NotInvoked`."""
    choose: Callable[[], Choose | None] = all_one
    """Who tells the version a key falls to, asked for at each invocation of an ordered source;
    None as long as there is but one."""
    on_broken: Callable[[], None]
    """Tells that the life ended by itself, so that another one begins after a rest."""
    last_result: str
    """LastProcessingResult of the life before."""
    last_error: LastError | None = None
    """What went wrong last in the life before."""
    trace_salt: bytes | None = None
    """Its engine is to have a tape."""


class Life(Protocol):
    """One running mapping."""

    @property
    def spec(self) -> MappingSpec:
        """Its settings as they hold."""

    @property
    def last_result(self) -> str:
        """LastProcessingResult."""

    @property
    def last_error(self) -> LastError | None:
        """What went wrong last, in this life or the one before."""

    @property
    def in_flight(self) -> int:
        """Invocations running."""

    @property
    def held_records(self) -> int:
        """Records read and not finished."""

    @property
    def is_draining(self) -> bool:
        """Whether it starts nothing new."""

    @property
    def is_broken(self) -> bool:
        """Whether it ended by itself; `stop` it before another one begins."""

    @property
    def tape(self) -> Tape | None:
        """Of its engine, where it has one."""

    def lanes(self) -> Sequence[LaneView]:
        """Its lanes that have something unfinished, to look at."""

    def can_become(self, spec: MappingSpec) -> bool:
        """Whether it can go on with these settings; else it ends and another one begins."""

    async def follow(self, spec: MappingSpec) -> None:
        """Go on with these settings, and with the source as it is now. Raises `RouterError`."""

    def see_room(self) -> None:
        """All mappings together may leave it more or less room than before."""

    def resume(self) -> None:
        """Take up work again; a `drain` that waits ends."""

    async def drain(self, timeout_s: float) -> bool:
        """Start nothing new, wait for what runs. False: time ran out, or it was resumed."""

    async def stop(self) -> None:
        """End at once; what was not finished will be repeated."""


@runtime_checkable
class Dependent(Protocol):
    """A life whose source may refuse it."""

    @property
    def transition_reason(self) -> str:
        """StateTransitionReason of a source that cannot be used (1.7); empty otherwise."""

    @property
    def trouble(self) -> str:
        """What keeps it from its source now, for people; empty otherwise."""


@runtime_checkable
class Assigned(Protocol):
    """A life that has shards only as long as they are given to it."""

    def places(self) -> Sequence[ShardPlace]:
        """Those it has, to look at."""


class Kind(Protocol):
    """A kind of source."""

    async def begin(self, order: Order) -> Life | None:
        """Start a mapping. None: it is not wanted any more. Raises `RouterError`."""

    async def lag(self, spec: MappingSpec, looks: dict[str, Any]) -> int | None:
        """Records of the source that a mapping, also one that does not run, has not finished.

        None: nobody here knows. `looks` is empty when a round of all mappings begins: what one
        look at a source has shown may be kept in it for the next mapping. Raises `RouterError`.
        """


class Kinds(Protocol):
    """The table of kinds."""

    def kind_of(self, mapping: Mapping) -> Kind:
        """Who runs such a mapping. Raises `NotFound`."""
