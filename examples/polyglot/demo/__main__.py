"""`make demo-polyglot`: one function in each language, and what it answers.

Builds what the tools of this machine can build, starts `router run` as a user would, invokes every
function three ways (first, again, with an event it refuses) and prints a table.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from examples.common.process import ROOT, Router, console, fresh_folder, wait_for_user
from examples.common.report import aws_command, percentile, show_next, show_table

FOLDER = Path(__file__).resolve().parents[1]
CLIENT = "java-client"

LANGUAGES = {
    "python": ((), ()),
    "node": (("node",), ()),
    "go": (("go",), ("go",)),
    "rust": (("cargo",), ("rust",)),
    "java": (("java", "javac", "mvn"), ("java", CLIENT)),
    "shell": (("bash", "curl"), ()),
}
"""Language → programs it needs here, and what `make` builds for it."""

NOT_BUILT = "could not be built"

INVOCATIONS = 50
"""With a running environment, one after the other."""


def build(languages: Sequence[str]) -> dict[str, str]:
    """Build what has to be built. Language → why it is left out."""
    missing = {}
    for language, (programs, targets) in LANGUAGES.items():
        # The template is one file: a function that is not built has an empty folder.
        if targets:
            (FOLDER / "build" / language).mkdir(parents=True, exist_ok=True)
        lacking = [program for program in programs if shutil.which(program) is None]
        if language not in languages:
            missing[language] = "not asked for"
        elif lacking:
            missing[language] = f"needs {', '.join(lacking)}"
        elif targets:
            console.print(f"building {language}")
            command = ["make", "--no-print-directory", "-C", FOLDER, *targets]
            if subprocess.run(command, check=False).returncode:
                missing[language] = NOT_BUILT
    return missing


async def invoke(
    session: aiohttp.ClientSession, router: Router, language: str, event: dict[str, str]
) -> tuple[dict[str, str], str, float]:
    """The document a function answers, the kind of its error, and how long it took in ms."""
    url = f"{router.addresses['api']}/2015-03-31/functions/greet-{language}/invocations"
    began = time.perf_counter()
    async with session.post(url, json=event) as reply:
        body = await reply.read()
        took_ms = (time.perf_counter() - began) * 1000
        if reply.status != 200:
            return {"errorMessage": body.decode(errors="replace")}, str(reply.status), took_ms
        return json.loads(body), reply.headers.get("X-Amz-Function-Error", ""), took_ms


async def greet(session: aiohttp.ClientSession, router: Router, language: str) -> list[str] | None:
    """A row of the table; None when something was not as it should be."""
    name = f"Ada-{uuid.uuid4().hex[:6]}"
    first, error, cold_ms = await invoke(session, router, language, {"name": name})
    if error or first.get("greeting") != f"Hello, {name}!":
        console.print(f"[red]{language}:[/red] {error} {first}", soft_wrap=True)
        return None
    took = []
    for _ in range(INVOCATIONS):
        _, error, took_ms = await invoke(session, router, language, {"name": name})
        if error:
            return None
        took.append(took_ms)
    refused, error, _ = await invoke(session, router, language, {})
    if error != "Unhandled" or refused.get("errorMessage") != "nobody to greet":
        console.print(f"[red]{language}:[/red] {error} {refused}", soft_wrap=True)
        return None
    answers = [f"{cold_ms:,.0f} ms", f"{percentile(took, 0.5):.1f} ms", refused["errorType"][:28]]
    return [first["language"], *answers]


async def run(router: Router, missing: dict[str, str]) -> tuple[dict[str, list[str]], bool]:
    """Ask every function; rows of the table, and all well."""
    rows, is_well = {}, NOT_BUILT not in missing.values()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        for language in LANGUAGES:
            if language in missing:
                rows[language] = [f"left out: {missing[language]}", "", "", ""]
                continue
            row = await greet(session, router, language)
            is_well &= row is not None
            rows[language] = row or ["[bold red]failed[/]", "", "", ""]
    return rows, is_well


def main() -> int:
    """Run the demo; 0 when every function that could be built answered as it should."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", action="store_true", help="leave the router running")
    parser.add_argument("--only", help="languages, with commas", default=",".join(LANGUAGES))
    options = parser.parse_args()
    missing = build(options.only.split(","))
    has_java = "java" not in missing
    clients = {"ROUTER_RUNTIME_CLIENTS": f"java={FOLDER / 'build' / CLIENT}"} if has_java else {}
    router = Router(fresh_folder("demo-polyglot"), FOLDER / "template.yaml", clients)
    router.parameters = {
        "WithNode": "no" if "node" in missing else "yes",
        "WithJava": "yes" if has_java else "no",
    }
    try:
        console.print(f"router run {(FOLDER / 'template.yaml').relative_to(ROOT)}")
        router.start()
        rows, is_well = asyncio.run(run(router, missing))
        show_table(rows, ("runs on", "first", "again, median", "refuses with"), is_well=is_well)
        function = "lambda invoke --function-name greet-go --payload '{\"name\": \"you\"}' /dev/stdout"
        show_next(
            router,
            "demo-polyglot",
            keeps=options.keep,
            more={"invoke": aws_command(router, f"--cli-binary-format raw-in-base64-out {function}")},
        )
        if options.keep:
            wait_for_user(router)
    except KeyboardInterrupt:
        is_well = False
    finally:
        status = router.stop()
    if status != 0:
        console.print(f"[red]the router ended with status {status}[/red]")
        return 1
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
