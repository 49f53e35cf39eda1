"""A plan for people."""

from rich.console import Console
from rich.markup import escape

from router.template.plan import Plan, PlannedChange

SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-", "keep": "="}
_COLOURS = {"create": "green", "update": "yellow", "replace": "yellow", "delete": "red"}


def print_plan(plan: Plan, console: Console, *, is_applied: bool = False) -> None:
    """One line for each change, `+ function orders`, with what differs below it."""
    for warning in plan.warnings:
        console.print(f"[yellow]note[/] {escape(warning)}", soft_wrap=True)
    for change in plan.changes:
        if change.action != "keep" or change.refusal:
            _print_change(change, console)
    console.print(_summary(plan, is_applied=is_applied), soft_wrap=True)
    for name, value in plan.outputs.items():
        console.print(f"{escape(name)} = {escape(value)}", soft_wrap=True, highlight=False)


def _print_change(change: PlannedChange, console: Console) -> None:
    colour = "red" if change.refusal else _COLOURS.get(change.action, "white")
    logical_id = f" ({change.logical_id})" if change.logical_id != change.name else ""
    why = f": {change.reason}" if change.reason else ""
    line = escape(f"{SIGNS[change.action]} {change.kind} {change.name}{logical_id}{why}")
    console.print(f"[{colour}]{line}[/]", soft_wrap=True, highlight=False)
    for difference in change.differences:
        before = "(none)" if difference.before is None else difference.before
        after = "(none)" if difference.after is None else difference.after
        text = escape(f"    {difference.property}: {before} → {after}")
        console.print(text, soft_wrap=True, highlight=False)
    if change.refusal:
        console.print(f"    [bold red]refused[/] {escape(change.refusal)}", soft_wrap=True)


def _summary(plan: Plan, *, is_applied: bool) -> str:
    if plan.refused:
        return f"{len(plan.refused)} refused, so nothing is changed."
    if plan.is_empty:
        return "Nothing to change."
    counts = {
        action: sum(1 for change in plan.changes if change.action == action) for action in SIGNS
    }
    said = ", ".join(f"{count} to {action}" for action, count in counts.items() if count)
    return f"Applied: {said}." if is_applied else f"{said}."
