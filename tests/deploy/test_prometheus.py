"""Prometheus's files by its own tool; and what the tool cannot know: which metrics there are.

`alerts/*.yml` say for each alert when it fires, when it does not and when it is over. A real
router makes every one of them fire in `tests/integration/test_alerts.py`.
"""

import re
from pathlib import Path

import pytest
import yaml

from router.telemetry import metrics
from router.telemetry.exposition import expose, form_of
from tests.deploy.exported import labels_by_sample
from tests.deploy.faster import faster, faster_expression
from tests.deploy.tools import ROOT, passes
from tests.servers.base import unavailable
from tests.servers.debian import program
from tests.servers.jars import Missing

FOLDER = ROOT / "deploy/prometheus"
RULES = sorted((FOLDER / "rules").glob("*.yml"))
CASES = sorted((Path(__file__).parent / "alerts").glob("*.yml"))
RUNBOOK = "docs/operate.md"

SELECTOR = re.compile(r"([a-z_:][a-z0-9_:]*)\s*\{([^}]*)\}")
NAME = re.compile(r"\b(?:router|process|instance(?:_[a-z]+)?:router)_[a-z0-9_:]+")
"""Of ours, or of a recorded series; `up` is Prometheus's own."""

FROM_SCRAPE = {"job", "instance"}


def promtool() -> str:
    try:
        return program("prometheus", "promtool")
    except Missing as error:
        unavailable(str(error))
        raise AssertionError from None


def rules(kind: str) -> list[dict]:
    return [
        rule
        for file in RULES
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if kind in rule
    ]


ALERTS = {rule["alert"]: rule for rule in rules("alert")}
RECORDS = {rule["record"]: rule for rule in rules("record")}


SAMPLES = labels_by_sample()


def labels_of(expression: str) -> set[str]:
    """What the result of an expression may be told apart by, at most."""
    found = set(FROM_SCRAPE)
    for name in NAME.findall(expression):
        found |= labels_of(RECORDS[name]["expr"]) if name in RECORDS else SAMPLES[name]
    for dropped in re.findall(r"\bwithout \(([a-z, ]+)\)", expression):
        found -= {label.strip() for label in dropped.split(",")}
    return found


def test_promtool_is_content_with_rules_and_configuration(tmp_path):
    passes(promtool(), "check", "rules", "--lint=all", "--lint-fatal", *RULES)
    text = (FOLDER / "prometheus.yml").read_text()
    assert "/etc/prometheus/rules/*.yml" in text
    mounted = tmp_path / "prometheus.yml"
    mounted.write_text(text.replace("/etc/prometheus/rules", str(FOLDER / "rules")))
    told = passes(promtool(), "check", "config", mounted)
    assert f"SUCCESS: {len(RULES)} rule files found" in told


async def test_promtool_is_content_with_every_metric():
    for metric in metrics.FAMILIES:
        if not metric.items():
            values = ((it,) if isinstance(it, str) else it for it in metric.facts.labels.values())
            metric.labels(*(value[0] for value in values))
    made = await expose(form_of("", ""))
    assert passes(promtool(), "check", "metrics", given=made.body.decode()) == ""


def test_every_alert_fires_when_it_should_and_is_over_when_it_is():
    passes(promtool(), "test", "rules", *CASES)


def test_every_alert_has_cases_that_fire_and_cases_that_do_not():
    fires, rests = set(), set()
    for file in CASES:
        for case in yaml.safe_load(file.read_text())["tests"]:
            for check in case["promql_expr_test"]:
                (alert,) = re.findall(r'alertname="(\w+)"', check["expr"])
                (fires if check.get("exp_samples") else rests).add(alert)
    assert fires == rests == set(ALERTS)


def test_rules_ask_for_metrics_and_labels_there_are():
    for rule in (*ALERTS.values(), *RECORDS.values()):
        expression = rule["expr"]
        for name in NAME.findall(expression):
            assert name in SAMPLES or name in RECORDS, (rule, name)
        for name, matchers in SELECTOR.findall(expression):
            known = SAMPLES.get(name, set()) | FROM_SCRAPE
            for label in re.findall(r"(\w+)\s*[=!]", matchers):
                assert label in known, (rule, name, label)


def test_records_are_named_by_level_metric_and_operation():
    for name, rule in RECORDS.items():
        level, metric, operation = name.split(":")
        assert level == "instance" or level.startswith("instance_")
        told = set(level.split("_")) - {"instance"}
        assert told <= labels_of(rule["expr"]), name
        assert metric.startswith("router_")
        assert re.fullmatch(r"rate5m|ratio_rate5m|p\d\d_rate5m", operation), name
        assert set(re.findall(r"\[(\w+)\]", rule["expr"])) <= {"5m"}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_urgent_it_is_what_is_wrong_and_what_to_do(name):
    rule = ALERTS[name]
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"{RUNBOOK}#{name.lower()}"
    runbook = (ROOT / RUNBOOK).read_text()
    _, _, entry = runbook.partition(f"\n### {name}\n")
    assert len(entry.split("\n### ")[0].split()) > 20, "what it means, where to look, what to do"
    for text in rule["annotations"].values():
        for label in re.findall(r"\$labels\.(\w+)", text):
            assert label in labels_of(rule["expr"]), label


def test_the_runbook_has_no_entry_of_an_alert_that_is_gone():
    entries = re.findall(r"^### (Router\w+)$", (ROOT / RUNBOOK).read_text(), re.MULTILINE)
    assert sorted(entries) == sorted(ALERTS)


def test_what_a_faster_copy_changes_is_time_alone():
    assert faster_expression("deriv(router_lag[15m]) > 5 * 60 * a:rate5m", 100) == (
        "deriv(router_lag[9000ms]) > 3 * a:rate5m"
    )
    assert faster_expression("x offset 15m > 0.01 * y", 100) == "x offset 9000ms > 0.01 * y"
    assert faster_expression("predict_linear(x[1h], 4 * 60 * 60) < 0", 100) == (
        "predict_linear(x[36000ms], 144) < 0"
    )
    for file in RULES:
        before = yaml.safe_load(file.read_text())
        for group, fast in zip(before["groups"], faster(before, 60)["groups"], strict=True):
            for rule, quick in zip(group["rules"], fast["rules"], strict=True):
                assert quick.keys() == rule.keys()
                assert {k: v for k, v in quick.items() if k not in {"expr", "for"}} == {
                    k: v for k, v in rule.items() if k not in {"expr", "for"}
                }
                words = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
                spans = {"s", "m", "h", "ms"}
                assert [it for it in words.findall(quick["expr"]) if it not in spans] == [
                    it for it in words.findall(rule["expr"]) if it not in spans
                ]
