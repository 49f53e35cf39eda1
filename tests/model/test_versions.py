"""Versions and aliases against a naive model, through the operations of the API.

Numbers never come twice, a version never changes, aliases lead to what exists, and a revision is
another one exactly when `functions-and-invocation.md` 4.3 says so.
"""

import asyncio
import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from router.control.code_links import CodeLinks
from router.control.context import Context
from router.control.errors import ApiError
from router.control.lambda_service.aliases import Aliases
from router.control.lambda_service.code_source import CodeSource
from router.control.lambda_service.functions import Functions
from router.control.lambda_service.listing import Listing
from router.control.lambda_service.presenter import Presenter
from router.control.lambda_service.states import Transitions
from router.control.lambda_service.tags import Tags
from router.control.model import Shape
from router.functions.packages import CodeStore
from router.store.catalog import Catalog
from tests.model.examples import MODEL

FUNCTION, ALIASES = "f", ("a", "b")
ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"
CONTEXT = Context("lambda", "", "id", "us-east-1", "000000000000", "http://h", {})
FOLDER = tempfile.TemporaryDirectory()


def package(number: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), f"x = {number}\n")
    return out.getvalue()


CODES = [package(number) for number in range(2)]

VERSIONS = st.sampled_from(["$LATEST", "1", "2", "3", "4"])
WEIGHTS = st.dictionaries(
    st.sampled_from("1234"), st.sampled_from([0.0, 0.5, 1.0]), max_size=2
) | st.just({})
STALE = st.booleans()
CREATE = st.tuples(st.just("create"), st.integers(0, 1), st.booleans())
CODE = st.tuples(st.just("code"), st.integers(0, 1), st.booleans(), STALE)
SETTINGS = st.tuples(st.just("settings"), st.integers(1, 9), st.just(False))
PUBLISH = st.tuples(st.just("publish"), st.just(False))
ALIAS = st.tuples(st.just("alias"), st.sampled_from(ALIASES), VERSIONS, WEIGHTS)
MOVE = st.tuples(st.just("move"), st.sampled_from(ALIASES), VERSIONS, WEIGHTS, STALE)
DROP = st.tuples(st.just("drop"), st.sampled_from("1234"))
RARE = st.one_of(
    CREATE,
    st.tuples(st.just("settings"), st.just(1), st.just(True)),
    st.tuples(st.just("publish"), st.just(True)),
    st.tuples(st.just("unalias"), st.sampled_from(ALIASES)),
    st.tuples(st.just("tag")),
    st.tuples(st.just("delete")),
)
STEP = st.sampled_from(
    [SETTINGS, PUBLISH, PUBLISH, SETTINGS, CODE, ALIAS, ALIAS, MOVE, DROP, DROP, RARE]
).flatmap(lambda step: step)


class Memory:
    async def load(self) -> tuple[()]:
        return ()

    async def apply(self, changes: Any) -> None:
        pass


class Transits(Transitions):
    """No waits: a function has arrived as soon as anybody asks."""

    async def settled(self, name: str) -> None:
        self.end(name)


class Naive(msgspec.Struct):
    """A function as anybody would write it down."""

    latest: tuple[int, int]
    """Code and timeout."""
    last: int = 0
    versions: dict[int, tuple[int, int]] = {}
    aliases: dict[str, tuple[str, dict[str, float]]] = {}

    def has(self, version: str) -> bool:
        return version == "$LATEST" or int(version) in self.versions

    def publish(self) -> bool:
        """Whether a version was made."""
        if self.versions.get(self.last) == self.latest:
            return False
        self.last += 1
        self.versions[self.last] = self.latest
        return True

    def allows(self, version: str, weights: dict[str, float]) -> bool:
        return (
            self.has(version)
            and len(weights) <= 1
            and all(self.has(other) and other != version != "$LATEST" for other in weights)
        )


class World:
    """The parts of the API on a catalog that is kept nowhere."""

    def __init__(self) -> None:
        self.catalog = Catalog(Memory())
        codes = CodeStore(Path(FOLDER.name))
        transitions = Transits()
        presenter = Presenter(codes, transitions)
        clock = iter(range(1, 10_000_000))
        model: Any = msgspec.defstruct("Model", [("shapes", dict)])(
            {"Runtime": Shape(type="string", enum=("python3.11",))}
        )
        self.functions = Functions(
            self.catalog, codes, CodeSource(codes, None), presenter, transitions, model,
            lambda: next(clock),
        )  # fmt: skip
        links = CodeLinks(self.catalog, codes, lambda: 0)
        self.listing = Listing(self.catalog, presenter, links)
        self.aliases = Aliases(self.catalog)
        self.tags = Tags(self.catalog)
        self.naive: Naive | None = None

    def revisions(self) -> dict[str, str]:
        catalog = self.catalog
        found = {name: it.revision_id for name, it in catalog.functions.items()}
        found |= {name: it.function.revision_id for name, it in catalog.versions.items()}
        return found | {name: it.revision_id for name, it in catalog.aliases.items()}

    async def step(self, kind: str, *how: Any) -> None:
        before, naive = self.revisions(), self.naive
        expected = getattr(self, f"_{kind}_expects")(naive, *how)
        try:
            await getattr(self, f"_{kind}")(*how)
        except ApiError as error:
            assert expected is None, (kind, how, error)
            assert self.revisions() == before
            return
        assert expected is not None, (kind, how, "was not refused")
        after = self.revisions()
        changed = {name for name in before.keys() & after.keys() if before[name] != after[name]}
        assert changed == expected
        assert len({*after.values()}) == len(after)
        await self.check()

    async def check(self) -> None:
        naive = self.naive
        if naive is None:
            assert not self.revisions()
            return
        listed = (
            await self.listing.list_versions_by_function(CONTEXT, {"FunctionName": FUNCTION})
        )["Versions"]
        assert [one["Version"] for one in listed] == [
            "$LATEST", *(str(number) for number in sorted(naive.versions))
        ]  # fmt: skip
        for one in listed:
            latest = one["Version"] == "$LATEST"
            code, timeout = naive.latest if latest else naive.versions[int(one["Version"])]
            assert (one["CodeSize"], one["Timeout"]) == (len(CODES[code]), timeout)
        shown = {
            alias.name: (alias.version, alias.weights) for alias in self.catalog.aliases.values()
        }
        assert shown == naive.aliases
        assert all(
            naive.has(version) and all(map(naive.has, weights))
            for version, weights in shown.values()
        )

    def _revision(self, *, stale: bool) -> dict[str, str]:
        if stale:
            return {"RevisionId": "stale"}
        function = self.catalog.functions.get(FUNCTION)
        return {"RevisionId": function.revision_id} if function else {}

    # Each step, and the names whose revision it changes; None: it is refused.

    def _create_expects(self, naive: Naive | None, code: int, publish: bool) -> set[str] | None:
        if naive is not None:
            return None
        self.naive = Naive((code, 3))
        if publish:
            self.naive.publish()
        return set()

    async def _create(self, code: int, publish: bool) -> None:
        await self.functions.create_function(
            CONTEXT,
            {
                "FunctionName": FUNCTION, "Runtime": "python3.11", "Handler": "app.handler",
                "Role": "r", "Code": {"ZipFile": CODES[code]}, "Publish": publish,
            },
        )  # fmt: skip

    def _code_expects(
        self, naive: Naive | None, code: int, publish: bool, stale: bool
    ) -> set[str] | None:
        if naive is None or stale:
            return None
        naive.latest = (code, naive.latest[1])
        if publish:
            naive.publish()
        return {FUNCTION}

    async def _code(self, code: int, publish: bool, stale: bool) -> None:
        await self.functions.update_function_code(
            CONTEXT,
            {"FunctionName": FUNCTION, "ZipFile": CODES[code], "Publish": publish}
            | self._revision(stale=stale),
        )

    def _settings_expects(self, naive: Naive | None, timeout: int, stale: bool) -> set[str] | None:
        if naive is None or stale:
            return None
        naive.latest = (naive.latest[0], timeout)
        return {FUNCTION}

    async def _settings(self, timeout: int, stale: bool) -> None:
        params = {"FunctionName": FUNCTION, "Timeout": timeout} | self._revision(stale=stale)
        await self.functions.update_function_configuration(CONTEXT, params)

    def _publish_expects(self, naive: Naive | None, stale: bool) -> set[str] | None:
        if naive is None or stale:
            return None
        return {FUNCTION} if naive.publish() else set()

    async def _publish(self, stale: bool) -> None:
        shown = await self.functions.publish_version(
            CONTEXT, {"FunctionName": FUNCTION} | self._revision(stale=stale)
        )
        assert self.naive is not None
        assert shown["Version"] == str(self.naive.last)

    def _alias_expects(
        self, naive: Naive | None, name: str, version: str, weights: dict[str, float]
    ) -> set[str] | None:
        if naive is None or name in naive.aliases or not naive.allows(version, weights):
            return None
        naive.aliases[name] = (version, weights)
        return set()

    async def _alias(self, name: str, version: str, weights: dict[str, float]) -> None:
        await self.aliases.create_alias(CONTEXT, _alias_params(name, version, weights))

    def _move_expects(
        self, naive: Naive | None, name: str, version: str, weights: dict[str, float], stale: bool
    ) -> set[str] | None:
        if naive is None or name not in naive.aliases or stale:
            return None
        if not naive.allows(version, weights):
            return None
        naive.aliases[name] = (version, weights)
        return {f"{FUNCTION}:{name}"}

    async def _move(self, name: str, version: str, weights: dict[str, float], stale: bool) -> None:
        given = {"RevisionId": "stale"} if stale else {}
        params = _alias_params(name, version, weights) | given
        await self.aliases.update_alias(CONTEXT, params)

    def _unalias_expects(self, naive: Naive | None, name: str) -> set[str] | None:
        if naive is None:
            return None
        naive.aliases.pop(name, None)
        return set()

    async def _unalias(self, name: str) -> None:
        await self.aliases.delete_alias(CONTEXT, {"FunctionName": FUNCTION, "Name": name})

    def _drop_expects(self, naive: Naive | None, version: str) -> set[str] | None:
        if naive is None:
            return None
        if any(version in (to, *weights) for to, weights in naive.aliases.values()):
            return None
        naive.versions.pop(int(version), None)
        return set()

    async def _drop(self, version: str) -> None:
        await self.functions.delete_function(
            CONTEXT, {"FunctionName": FUNCTION, "Qualifier": version}
        )

    def _tag_expects(self, naive: Naive | None) -> set[str] | None:
        return None if naive is None else set()

    async def _tag(self) -> None:
        await self.tags.tag_resource(CONTEXT, {"Resource": ARN, "Tags": {"a": "b"}})

    def _delete_expects(self, naive: Naive | None) -> set[str] | None:
        if naive is None:
            return None
        self.naive = None
        return set()

    async def _delete(self) -> None:
        await self.functions.delete_function(CONTEXT, {"FunctionName": FUNCTION})


def _alias_params(name: str, version: str, weights: dict[str, float]) -> dict[str, Any]:
    return {
        "FunctionName": FUNCTION,
        "Name": name,
        "FunctionVersion": version,
        "RoutingConfig": {"AdditionalVersionWeights": weights},
    }


@MODEL
@given(steps=st.lists(STEP, max_size=40))
def test_versions_and_aliases(steps: list[tuple[Any, ...]]) -> None:
    async def run() -> None:
        world = World()
        await world.step("create", 0, False)
        for kind, *how in steps:
            await world.step(kind, *how)

    asyncio.run(run())
