"""G0: webhooks accepted and handled per second, the whole product beside the thinnest loop.

Both sides check the signature, commit durably in groups before they answer 202, hand batches of
up to 100 to the same handler in a process of its own and store progress for each batch
(`pipeline/thin.py` says what the thin one leaves out). One compiled generator drives both in
turn; the function itself counts what it got, and accepted = handled must hold in every round.
The goal is judged with 256 requests in flight, four shards and one lane for each: then both sides
hand over batches of about the same size, which is what makes them comparable. Shown beside it:
four lanes for each shard (batches a quarter as large, which the one ordered lane of the thin side
never has), and 64 requests in flight.
"""

import sys
import tempfile
from pathlib import Path

from tests.bench.pipeline import bed

GOAL = 0.5
ROUNDS = 6
CONNECTIONS_FEW = 64
LANES = 4
"""Of each shard, in what is shown beside the goal."""


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
        beside: dict[str, dict[str, list[bed.Round]]] = {}
        if not is_quick:
            few_load = bed.Load(connections=CONNECTIONS_FEW)
            beside["with_64_connections"] = bed.compare([thin, router], few_load, rounds // 2)
            router.close()
            with bed.router(Path(folder, "lanes"), factor=LANES) as lanes:
                beside["with_16_lanes"] = bed.compare([thin, lanes], load, rounds // 2)
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
    for name, shown in beside.items():
        rates = {side: bed.median(shown[side], "per_s") for side in ("router", "thin")}
        result[name] = {
            "ratio": round(rates["router"] / rates["thin"], 3),
            "router": bed.series(shown["router"]),
            "thin": bed.series(shown["thin"]),
        }
    return {"G0": result}


if __name__ == "__main__":
    print(run(is_quick="--quick" in sys.argv))
