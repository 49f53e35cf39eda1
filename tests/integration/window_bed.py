"""A function that sums per tumbling window, and what its sums must add up to."""

import time

from tests.integration.bed import TELLING, function, mapping, template, until, webhook

ESM = "/2015-03-31/event-source-mappings/"
TELL = TELLING.partition("def handler")[0]

SUMMING = (
    TELL
    + '''
def handler(event, context):
    """Lists what it was given in each window; tells at the window's end."""
    state = event["state"]
    for record in event["Records"]:
        body = json.loads(record["body"])
        state.setdefault("seen", []).append([record["eventID"], body["key"], body["n"]])
    kind = "final" if event["isFinalInvokeForWindow"] else "records"
    if event["isWindowTerminatedEarly"]:
        kind = "early"
    order = tell(
        what=kind, shard=event["shardId"], start=event["window"]["start"],
        end=event["window"]["end"], state=state, size=len(event["Records"]),
        source=event["eventSourceARN"], stateless=os.environ.get("STATELESS"),
    )
    if order == "fail":
        raise ValueError("told to fail")
    if order == "forget":
        return None
    if order == "grow":
        state["filler"] = "x" * 1_100_000
    return {"state": state}
'''
)


def running(bed, *, shards: int = 2, **settings):
    bed.write(template(webhook(shards=shards), function(), feed(**settings)))
    bed.code(SUMMING)
    bed.start()
    bed.uuid = bed.told("mappings", "list")[0]["UUID"]


def feed(**settings) -> str:
    return mapping(**{"TumblingWindowInSeconds": 2, **settings})


def heard(bed, what: str):
    return [facts for facts in list(bed.ear.heard) if facts["what"] == what]


def closed(bed) -> dict[tuple[str, str], dict]:
    """What each window said at its end; said twice only where a kill hit its final call."""
    found: dict[tuple[str, str], dict] = {}
    for facts in heard(bed, "final"):
        window = (facts["shard"], facts["start"])
        assert found.setdefault(window, facts["state"]) == facts["state"]
    return found


def numbers(facts) -> list[int]:
    return [n for _, _, n in facts["state"]["seen"]]


def counted(bed) -> list[tuple[str, str, int]]:
    """Records, by id, of the states of all windows that ended."""
    return [tuple(seen) for state in closed(bed).values() for seen in state.get("seen", [])]


def wait_for_all(bed, accepted, unanswered: int = 0) -> None:
    """Each record in one window, once. A post that a kill left unanswered may be a record too."""
    until(lambda: {seen[1:] for seen in counted(bed)} >= set(accepted), what="every window's end")
    time.sleep(0.5)
    found = counted(bed)
    assert len(found) == len(set(found)), "counted twice"
    assert len(accepted) <= len(found) <= len(accepted) + unanswered
