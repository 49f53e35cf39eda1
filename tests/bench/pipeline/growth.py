"""What the growth benches share: templates of any size, and results as a factor.

A growth bench runs the whole router twice, at the small and at the large end, and drives both in
turn with the same load. Its ratio is the CPU of the router process per event at the large end by
that at the small end: 1 is flat. Memory is the resident set of the router process.
"""

import contextlib
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench.pipeline import bed

FLAT = 1.5
"""What still counts as flat: half of it is what two runs of one load may differ by here."""

STACK_RESOURCES_MAX = 500
"""Most resources of one template, here as in CloudFormation."""

CONCURRENCY = 512
"""So that every function of five hundred keeps its environment."""

Resources = dict[str, dict[str, object]]


def webhook(path: str, *, shards: int = 1) -> dict[str, object]:
    properties = {
        "Path": path,
        "Signature": {"Scheme": "github", "Secret": "{{resolve:secretsmanager:bench}}"},
        "PartitionKey": "$.repository.full_name",
        "Shards": shards,
    }
    return {"Type": "Router::Webhook", "Properties": properties}


def function() -> dict[str, object]:
    """The bench's counting function."""
    properties = {
        "CodeUri": str(bed.HERE),
        "Handler": "app.handler",
        "Runtime": "python3.11",
        "Timeout": 60,
        "Environment": {"Variables": {"COLLECTOR": {"Ref": "Collector"}}},
    }
    return {"Type": "AWS::Serverless::Function", "Properties": properties}


def mapping(source: object, worker: str, **properties: object) -> dict[str, object]:
    fixed = {"EventSourceArn": source, "FunctionName": {"Ref": worker}, "BatchSize": 100}
    return {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {**fixed, **properties}}


def template(folder: Path, resources: Resources) -> Path:
    """A template with these resources."""
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / "template.json"
    members = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Parameters": {"Collector": {"Type": "String"}},
        "Resources": resources,
    }
    path.write_text(json.dumps(members))
    return path


def stream_arn(server: bed.Server, hook: str) -> str:
    """The stream of a webhook of the router's own template, whose stack is named by its folder."""
    return f"arn:aws:router:us-east-1:000000000000:webhook/{server.template.parent.name}-{hook}"


def apply(server: bed.Server, resources: Resources) -> None:
    """Add resources to a running router, in stacks of their own."""
    names = iter(resources)
    for number in itertools.count():
        part = {name: resources[name] for name in itertools.islice(names, STACK_RESOURCES_MAX)}
        if not part:
            return
        path = template(server.data / f"stack-{number}", part)
        command = [
            sys.executable, "-m", "router", "apply", path, "--data", server.data / "data",
            "--stack-name", f"stack-{number}",
            "--parameter", f"Collector={server.collector.address}",
        ]  # fmt: skip
        subprocess.run(
            [str(part) for part in command], cwd=bed.ROOT, check=True, stdout=subprocess.DEVNULL
        )


def factor(
    small: list[bed.Round], large: list[bed.Round], goal: float = FLAT, **shown: object
) -> dict[str, object]:
    """A result: what an event costs at the large end by what it costs at the small end."""
    ratio = bed.median(large, "cpu_us") / bed.median(small, "cpu_us")
    best = min(one.cpu_us for one in large) / min(one.cpu_us for one in small)
    return {
        "ratio": round(ratio, 2),
        "goal": goal,
        "ok": ratio <= goal,
        "ratio_best": round(best, 2),
        "ok_best": best <= goal,
        "is_steady": bed.is_steady(small, "cpu_us"),
        "small": bed.series(small),
        "large": bed.series(large),
        **shown,
    }


def memory_mb(*servers: bed.Server) -> dict[str, float]:
    """For a result."""
    return {server.name: round(server.memory_mb(), 1) for server in servers}


def unavailable(goal: str) -> dict[str, dict[str, object]] | None:
    """The result where there is no load generator; None where there is one."""
    try:
        bed.load_generator()
    except bed.Unavailable as error:
        return {goal: {"error": str(error)}}
    return None


def on_one_stream(
    stack: contextlib.ExitStack,
    folder: Path,
    ends: Mapping[str, int],
    feeds: Callable[[str, int], Resources],
) -> list[bed.Server]:
    """A router for each end, in order, with so many mappings on the one webhook it has."""
    hook = template(folder / "bench", {"Hook": webhook("/in")})
    servers = []
    for end, count in ends.items():
        own = {"ROUTER_CONCURRENCY_MAX": str(CONCURRENCY)}
        server = stack.enter_context(bed.router(folder / end, end, template=hook, **own))
        apply(server, feeds(stream_arn(server, "Hook"), count))
        servers.append(server)
    return servers
