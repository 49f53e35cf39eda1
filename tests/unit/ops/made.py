"""Facts for tests of the ops page."""

from router.ops.facts import (
    DestinationFacts,
    FunctionDetail,
    FunctionFacts,
    MappingDetail,
    MappingFacts,
    RouterFacts,
    Snapshot,
    WebhookFacts,
)
from router.ops.history import History
from router.ops.rows import COLUMNS, Board, board, tick

BEGIN_MS = 1_000_000
WALL_MS = 1_800_000_000_000
BOUNDS_S = (0.001, 0.01, 0.1, 1.0)


def mapping(name="orders", **more):
    facts = {
        "id": f"id-{name}", "name": name, "function": "worker", "source": "arn:aws:sqs:r:1:in",
        "kind": "SQS", "state": "Enabled", "is_enabled": True, "result": "OK", "lag": 0,
    }  # fmt: skip
    return MappingFacts(**facts | more)


def function(name="worker", **more):
    return FunctionFacts(name=name, **{"runtime": "python3.12"} | more)


def webhook(name="hook", **more):
    return WebhookFacts(name=name, **{"path": "/in", "scheme": "github", "shards": 2} | more)


def destination(address="arn:aws:sqs:r:1:failed", **more):
    return DestinationFacts(address=address, **{"kind": "sqs"} | more)


def router(**more):
    facts = {
        "version": "1", "started_ms": WALL_MS - 60_000, "region": "r", "account": "1",
        "is_ready": True, "limit": 10,
    }  # fmt: skip
    return RouterFacts(**facts | more)


def snapshot(mappings=(), functions=(), webhooks=(), destinations=(), *, at_s=0.0, **of_router):
    return Snapshot(
        wall_ms=WALL_MS + round(at_s * 1_000),
        now_ms=BEGIN_MS + round(at_s * 1_000),
        router=router(**of_router),
        mappings=mappings,
        functions=functions,
        webhooks=webhooks,
        destinations=destinations,
        bounds_s=BOUNDS_S,
    )


def past():
    return History(COLUMNS, BEGIN_MS)


def ticked(history: History, made: Snapshot) -> Snapshot:
    for _ in tick(made, history):
        pass
    return made


def boarded(made: Snapshot, history: History | None = None) -> Board:
    *slices, found = board(made, history or past())
    assert not any(slices)
    assert found is not None
    return found


class Sight:
    """A made-up router to look at."""

    def __init__(self, made: Snapshot) -> None:
        self.made = made
        self.looks = 0
        self.recent = ()

    async def snapshot(self, *, is_shown):
        self.looks += is_shown
        return self.made

    def close(self):
        pass

    async def mapping(self, id_):
        if id_ not in {it.id for it in self.made.mappings}:
            return None
        return MappingDetail(settings=[("BatchSize", 10)], recent=self.recent)

    async def function(self, name):
        if name not in {it.name for it in self.made.functions}:
            return None
        return FunctionDetail(settings=[("Timeout", "3 s")], recent=self.recent)
