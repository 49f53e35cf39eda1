"""What the catalog says of concurrency reaches the dispatcher and the pool (5.3)."""

from collections.abc import Iterable

import msgspec
import pytest
from structlog.testing import capture_logs

from router.dispatch.dispatcher import Dispatcher
from router.dispatch.provisioning import Provisioning
from router.functions.resolve import FunctionResolver
from router.model.concurrency import AccountLimit, Provisioned, ProvisionedStatus
from router.model.function import FunctionVersion
from router.model.resources import Function
from router.model.version import Alias, Version
from router.store.base import Delete
from router.store.catalog import Catalog, put
from router.telemetry import metrics
from router.workers.provisions import FAILURES_MAX, Provisions, key_of
from tests.unit.dispatch.test_dispatcher import Gate
from tests.unit.functions.test_dependents import Memory

FUNCTION = Function(
    name="f",
    runtime="python3.11",
    handler="a.b",
    role="",
    code_path="/x",
    code_hash="h",
    last_modified_ms=1,
    revision_id="r",
)
CONFIG = Provisioned(function="f", qualifier="live", requested=2, last_modified_ms=7)


class House:
    """A catalog and who follows it; nothing is started, the test says what is ready."""

    def __init__(self) -> None:
        async def nothing(_function: FunctionVersion) -> None:
            return None

        self.catalog = Catalog(Memory())
        self.provisions = Provisions(nothing)
        self.dispatcher = Dispatcher(Gate(), 20)
        functions = FunctionResolver(self.catalog, "us-east-1", "000000000000")
        self.provisioning = Provisioning(
            self.catalog, functions, self.dispatcher, self.provisions, AccountLimit(20, 2)
        )
        self.catalog.listen(lambda _changes: self.provisioning.follow())

    async def publish(self, number: int) -> None:
        function = msgspec.structs.replace(FUNCTION, code_hash=f"h{number}")
        version = Version(number=number, function=function)
        alias = Alias(function="f", name="live", version=str(number), revision_id="a")
        changes = [put("function", "f", FUNCTION), put("version", f"f:{number}", version)]
        await self.catalog.commit([*changes, put("alias", "f:live", alias)])

    async def ask(self, requested: int = 2) -> None:
        config = msgspec.structs.replace(CONFIG, requested=requested)
        await self.catalog.commit([put("provisioned", "f:live", config)])

    def become_ready(self, count: int) -> None:
        (provision,) = self.provisions.by_key.values()
        provision.ready = {object() for _ in range(count)}
        provision.has_been_ready |= count == provision.wanted
        self.provisions.on_change(provision.function, count)

    def status(self) -> ProvisionedStatus:
        return self.provisioning.status(self.catalog.provisioned["f:live"])


@pytest.fixture
async def house() -> House:
    house = House()
    await house.publish(1)
    return house


def shown(version: str) -> dict[str, float]:
    return {
        sample.labels["state"]: sample.value
        for family in metrics.PROVISIONED.collect()
        for sample in family.samples
        if sample.labels["version"] == version
    }


def versions(house: House) -> Iterable[str]:
    return [provision.function.version for provision in house.provisions.by_key.values()]


async def test_it_is_in_progress_then_ready_and_counts_from_the_beginning(house: House) -> None:
    await house.ask()
    assert house.dispatcher.ledger.common.size == 18
    assert house.status() == ProvisionedStatus("IN_PROGRESS", 0)
    house.become_ready(1)
    assert house.status() == ProvisionedStatus("IN_PROGRESS", 1)
    house.become_ready(2)
    assert house.status() == ProvisionedStatus("READY", 2)
    assert shown("1") == {"requested": 2, "ready": 2, "used": 0}
    house.become_ready(1)
    assert house.status() == ProvisionedStatus("READY", 1), "one is being replaced"


async def test_another_number_is_in_progress_again(house: House) -> None:
    await house.ask()
    house.become_ready(2)
    await house.ask(3)
    assert house.status() == ProvisionedStatus("IN_PROGRESS", 2)


async def test_an_alias_that_moves_shows_what_it_had_until_it_has_it_again(house: House) -> None:
    await house.ask()
    house.become_ready(2)
    await house.publish(2)
    assert versions(house) == ["2"]
    assert house.status() == ProvisionedStatus("IN_PROGRESS", 2)
    house.become_ready(2)
    assert house.status() == ProvisionedStatus("READY", 2)
    assert shown("1") == {}
    assert shown("2")["ready"] == 2


async def test_a_version_that_cannot_start_has_failed(house: House) -> None:
    await house.ask()
    (provision,) = house.provisions.by_key.values()
    provision.is_broken, provision.failures = True, FAILURES_MAX
    assert house.status() == ProvisionedStatus("FAILED", 0, "FUNCTION_ERROR_INIT_FAILURE")


async def test_an_alias_of_latest_has_none(house: House) -> None:
    await house.ask()
    alias = Alias(function="f", name="live", version="$LATEST", revision_id="a")
    await house.catalog.commit([put("alias", "f:live", alias)])
    assert house.status().state == "FAILED"
    assert not house.provisions.by_key
    assert house.dispatcher.ledger.common.size == 20


async def test_what_is_gone_keeps_nothing(house: House) -> None:
    await house.ask()
    house.become_ready(2)
    await house.catalog.commit([Delete("provisioned", "f:live")])
    assert not house.provisions.by_key
    assert shown("1") == {}
    assert house.dispatcher.ledger.common.size == 20


async def test_the_environments_are_those_that_invocations_ask_for(house: House) -> None:
    await house.ask()
    resolver = FunctionResolver(house.catalog, "us-east-1", "000000000000")
    assert key_of(resolver.get("f", "live")) in house.provisions.by_key


async def test_more_than_there_is_warns_once(house: House) -> None:
    with capture_logs() as logs:
        await house.ask(19)
        await house.ask(19)
    warnings = [line for line in logs if line["event"] == "concurrency_overcommitted"]
    assert len(warnings) == 1
    assert (warnings[0]["limit"], warnings[0]["reserved"]) == (20, 19)
