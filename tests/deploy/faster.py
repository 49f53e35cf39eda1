"""The alert and recording rules with every span of time divided by one number.

A test cannot wait half an hour for an alert. What it runs instead are the same expressions: only
spans of time are shorter, wherever rules have them,

    for: 10m                      how long an alert is pending
    [5m], offset 15m              ranges of PromQL
    10 * 60, 4 * 60 * 60          seconds, written as minutes or hours

and nothing else is touched: no other number, no metric, no operator.
"""

import re
from pathlib import Path
from typing import Any

import yaml

UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000}

RANGE = re.compile(r"(\[|\boffset )(\d+)([smh])\b")
SECONDS = re.compile(r"\b\d+(?: \* 60)+\b")
PENDING = re.compile(r"(\d+)([smh])")


def faster(rules: dict[str, Any], factor: int) -> dict[str, Any]:
    """A file of rules, `factor` times as fast."""
    groups = [
        {**group, "rules": [_faster(rule, factor) for rule in group["rules"]]}
        for group in rules["groups"]
    ]
    return {**rules, "groups": groups}


def write_faster(files: list[Path], folder: Path, factor: int) -> list[Path]:
    """Copies of the files in a folder."""
    made = []
    for file in files:
        path = folder / file.name
        path.write_text(yaml.safe_dump(faster(yaml.safe_load(file.read_text()), factor)))
        made.append(path)
    return made


def _faster(rule: dict[str, Any], factor: int) -> dict[str, Any]:
    made = {**rule, "expr": faster_expression(rule["expr"], factor)}
    if "for" in rule:
        made["for"] = PENDING.sub(lambda it: _ms(it[1], it[2], factor), rule["for"])
    return made


def faster_expression(expression: str, factor: int) -> str:
    """An expression of PromQL, its spans of time divided."""
    expression = RANGE.sub(lambda it: it[1] + _ms(it[2], it[3], factor), expression)
    return SECONDS.sub(lambda it: f"{_product(it[0]) / factor:g}", expression)


def _ms(number: str, unit: str, factor: int) -> str:
    return f"{int(number) * UNIT_MS[unit] // factor}ms"


def _product(text: str) -> int:
    product = 1
    for part in text.split(" * "):
        product *= int(part)
    return product
