"""G0: webhooks accepted and handled per second, the whole product beside the thinnest loop.

Both sides check the signature, commit durably in groups before they answer 202, hand batches of
up to 100 to the same handler in a process of its own and store progress for each batch
(`pipeline/thin.py` says what the thin one leaves out). One compiled generator drives both in
turn; the function itself counts what it got, and accepted = handled must hold in every round.
The goal is judged with 256 requests in flight, enough to fill batches on both sides; with 64 the
sixteen lanes of the router get small batches, which is shown beside it.
"""

import sys
import tempfile
from pathlib import Path

from tests.bench.pipeline import bed

GOAL = 0.5
ROUNDS = 6
CONNECTIONS_FEW = 64


def run(*, is_quick: bool = False) -> dict:
    """The goal, and both sides' CPU per event."""
    rounds, load = (1, bed.Load(400, 32)) if is_quick else (ROUNDS, bed.Load())
    try:
        bed.load_generator()
    except bed.Unavailable as error:
        return {"G0": {"error": str(error)}}
    with (
        tempfile.TemporaryDirectory() as folder,
        bed.router(Path(folder, "router")) as router,
        bed.thin(Path(folder, "thin")) as thin,
    ):
        found = bed.compare([thin, router], load, rounds)
        text = router.metrics()
        sent = load.requests * (rounds + 1)
        few = None
        if not is_quick:
            few_load = bed.Load(connections=CONNECTIONS_FEW)
            few = bed.compare([thin, router], few_load, rounds // 2)
    if (counted := bed.metric(text, "router_mapping_records_invoked_total")) != sent:
        raise bed.Dishonest(f"sent {sent}, but /metrics says {counted} were handed over")
    ours, base = found["router"], found["thin"]
    ratio = bed.median(ours, "per_s") / bed.median(base, "per_s")
    best = max(one.per_s for one in ours) / max(one.per_s for one in base)
    result = {
        "ratio": round(ratio, 3),
        "goal": GOAL,
        "ok": ratio >= GOAL,
        "ratio_best": round(best, 3),
        "ok_best": best >= GOAL,
        "cpu_ratio": round(bed.median(ours, "cpu_us") / bed.median(base, "cpu_us"), 2),
        "is_steady": bed.is_steady(base, "per_s"),
        "handled": {"router": sent, "thin": sent},
        "connections": load.connections,
        "requests": load.requests,
        "body_bytes": load.body_bytes,
        "durability": "SQLite WAL, synchronous=FULL",
        "router": bed.series(ours),
        "thin": bed.series(base),
    }
    if few is not None:
        result["with_64_connections"] = {
            "ratio": round(
                bed.median(few["router"], "per_s") / bed.median(few["thin"], "per_s"), 3
            ),
            "router": bed.series(few["router"]),
            "thin": bed.series(few["thin"]),
        }
    return {"G0": result}


if __name__ == "__main__":
    print(run(is_quick="--quick" in sys.argv))
