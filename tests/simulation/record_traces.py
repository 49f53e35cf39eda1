"""`make traces`: record anew what the engine decides, into `traces/`.

`seed-…` come from simulated runs, those that meet most kinds of events and commands; `run-…` were
recorded with `router trace` from a real router: their events stay, their commands are asked anew.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import orjson

from router.mapping.engine import Engine
from router.mapping.shard import RunAhead
from router.mapping.trace import TracedEngine, replay
from router.model.mapping_spec import MappingSpec
from tests.simulation.parts import Parts
from tests.simulation.run import simulate_seed

FOLDER = Path(__file__).with_name("traces")
SEEDS = range(1, 81)
MINUTES = 2
TRACES = 18
BYTES_MAX = 60_000


def tapes(seed: int) -> list[TracedEngine]:
    """The engines of one run, one for each life of its router."""
    engines: list[TracedEngine] = []

    def make(spec: MappingSpec, run_ahead: RunAhead) -> Engine:
        engines.append(TracedEngine(spec, run_ahead, b"simulation"))
        return engines[-1]

    result = simulate_seed(seed, MINUTES, Parts(engine=make), kind="stream")
    assert result.error is None, result.error
    return engines


def kinds(lines: Iterable[bytes]) -> set[str]:
    """What a trace shows: which commands follow which event, and in what state."""
    found: set[str] = set()
    for line in lines:
        step = orjson.loads(line)
        event = step.get("event")
        if event is None:
            continue
        outcome = (event.get("outcome") or {}).get("is", "")
        found.add(f"{event['is']} {outcome}")
        for command in step["commands"]:
            window = command.get("window")
            head = ((command.get("update") or {}).get("lane") or {}).get("head")
            said = f"{event['is']} {outcome} {command['is']} {command.get('condition', '')}"
            found.add(f"{said} {window and window['is_final']} {head and len(head['ends'])}")
    return found


def main() -> int:
    """Write all traces; nothing is asked."""
    found: dict[str, tuple[bytes, set[str]]] = {}
    for seed in SEEDS:
        for life, engine in enumerate(tapes(seed), 1):
            text = b"\n".join(engine.tape.lines) + b"\n"
            if len(text) <= BYTES_MAX and not engine.tape.is_cut:
                found[f"seed-{seed:02}-{life}.jsonl"] = (text, kinds(engine.tape.lines))
    for old in FOLDER.glob("seed-*.jsonl"):
        old.unlink()
    known: set[str] = set()
    for _ in range(TRACES):
        name = max(found, key=lambda name: (len(found[name][1] - known), name))
        text, shown = found.pop(name)
        known |= shown
        (FOLDER / name).write_bytes(text)
    for path in FOLDER.glob("run-*.jsonl"):
        lines, difference = replay(path.read_bytes().splitlines())
        while difference is not None:
            recorded = path.read_bytes().splitlines()
            recorded[difference.line - 1] = lines[difference.line - 1]
            path.write_bytes(b"\n".join(recorded) + b"\n")
            lines, difference = replay(recorded)
    print(f"{len(list(FOLDER.glob('*.jsonl')))} traces, {len(known)} kinds of steps")
    return 0


if __name__ == "__main__":
    sys.exit(main())
