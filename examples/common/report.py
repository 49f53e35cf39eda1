"""The table at the end of a demo, and how to look further."""

from collections.abc import Iterable, Mapping, Sequence

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.common.process import ROOT, Router, console

MUST_BE_ZERO = {"lost", "out of order", "counted wrongly", "filtered out, yet handled"}


def progress_bars() -> Progress:
    """For as many tasks as one likes; nothing where nobody looks."""
    return Progress(
        TextColumn("{task.description:<26}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), console=console, disable=not console.is_terminal,
    )  # fmt: skip


def percentile(values: Iterable[float], share: float) -> float:
    """The value at a share of the sorted list."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def median_and_p99(waits_s: Sequence[float]) -> str:
    """For the table, in milliseconds."""
    return f"{percentile(waits_s, 0.5) * 1000:,.0f} ms, {percentile(waits_s, 0.99) * 1000:,.0f} ms"


def show_table(
    rows: Mapping[str, Sequence[str]], heads: Sequence[str] = (), *, is_well: bool
) -> None:
    """The rows, one value for each head, and the verdict."""
    table = Table(show_header=bool(heads), box=None, pad_edge=False)
    for head in ("", *heads):
        table.add_column(head)
    for name, values in rows.items():
        table.add_row(
            name,
            *(
                f"[bold red]{value}[/]" if name in MUST_BE_ZERO and value != "0" else value
                for value in values
            ),
        )
    console.print()
    console.print(table)
    console.print()
    verdict = (
        "[green]everything adds up[/]" if is_well else "[bold red]something does not add up[/]"
    )
    console.print(verdict)


def show_next(router: Router, target: str, *, keeps: bool, more: Mapping[str, str]) -> None:
    """Where to look: what can be read afterwards, and what a running router answers."""
    lines = {"router's log": str(router.log.relative_to(ROOT))}
    if keeps:
        lines = {
            **more,
            "metrics": router.addresses["ops"] + "/metrics",
            **lines,
        }
    lines["functions' logs"] = router_command(router, "logs")
    if not keeps:
        console.print(f"to look further, leave it running: make {target} KEEP=1")
    width = max(map(len, lines)) + 1
    for name, text in lines.items():
        console.print(f"{name:<{width}}{text}", soft_wrap=True, markup=False)


def router_command(router: Router, *words: str) -> str:
    """A command line that finds this router."""
    return f".venv/bin/router {' '.join(words)} --data {router.data.relative_to(ROOT)}"


def aws_command(router: Router, words: str) -> str:
    """A command line of the AWS CLI that reaches this router."""
    return (
        "AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1 "
        f"aws --endpoint-url {router.addresses['api']} {words}"
    )
