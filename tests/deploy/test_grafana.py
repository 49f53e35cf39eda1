"""The dashboards as files: current, sound, readable, and about metrics that the router has."""

import re
from itertools import combinations

import msgspec
import pytest
import yaml

from grafana import generate, source
from tests.deploy import grafana_model as model
from tests.deploy.boards import FOLDER, NAMES, Board, boards
from tests.deploy.exported import labels_by_sample
from tests.deploy.tools import ROOT

FOREIGN = {"up", "ALERTS", "process_start_time_seconds"}
"""Series that Prometheus makes, or every process has."""

OF_ALL = {"job", "instance", "le"}
OF_ALERTS = {"alertname", "alertstate"}
SELECTOR = re.compile(r"\b([a-zA-Z_][a-zA-Z0-9_]*)\{([^}]*)\}")
NAMED = re.compile(r"\b(?:router|process)_[a-z0-9_]+")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
LEGEND = re.compile(r"\{\{(\w+)\}\}")
GROUPED = re.compile(r"\bby \(([^)]*)\)")


def parsed(board: Board) -> model.Dashboard:
    return msgspec.convert(board.tree, model.Dashboard)


def expressions(board: Board) -> list[str]:
    return [target["expr"] for panel in board.panels for target in panel["targets"]]


each = pytest.mark.parametrize("board", boards(), ids=lambda board: board.name)


def test_the_files_are_what_the_source_says() -> None:
    files = generate.rendered(source.load())
    assert set(files) == {f"{name}.json" for name in NAMES}
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == files, "make dashboards"


@each
def test_grafana_understands_it(board: Board) -> None:
    found = parsed(board)
    assert found.uid == f"router-{board.name}"
    for panel in board.panels:
        custom = panel["fieldConfig"]["defaults"].get("custom")
        kind = model.CUSTOM.get(panel["type"])
        assert (custom is None) == (kind is None)
        if kind is not None:
            msgspec.convert(custom, kind)


@each
def test_panels_have_places_of_their_own(board: Board) -> None:
    panels = parsed(board).panels
    assert len({panel.id for panel in panels}) == len(panels)
    for panel in panels:
        assert panel.grid_pos.x + panel.grid_pos.w <= source.COLUMNS
    for one, other in combinations([panel.grid_pos for panel in panels], 2):
        assert (
            one.x + one.w <= other.x
            or other.x + other.w <= one.x
            or one.y + one.h <= other.y
            or other.y + other.h <= one.y
        ), (one, other)


@each
def test_every_line_is_full(board: Board) -> None:
    """A gap at the end of a line is a mistake in a width."""
    lines: dict[int, int] = {}
    for panel in board.panels:
        lines[panel["gridPos"]["y"]] = lines.get(panel["gridPos"]["y"], 0) + panel["gridPos"]["w"]
    assert set(lines.values()) == {source.COLUMNS}, lines


@each
def test_links_lead_to_dashboards_with_these_variables(board: Board) -> None:
    variables = {one.name: set(one.variables) | {"datasource"} for one in boards()}
    links = [
        link["url"]
        for panel in board.panels
        for link in panel["fieldConfig"]["defaults"]["links"]
        + [
            link
            for override in panel["fieldConfig"]["overrides"]
            for one in override["properties"]
            if one["id"] == "links"
            for link in one["value"]
        ]
    ]
    assert links
    for url in links:
        name = re.match(r"/d/router-([a-z]+)/\?", url)[1]
        handed = set(re.findall(r"\$\{(\w+):queryparam\}", url)) | set(
            re.findall(r"&var-(\w+)=", url)
        )
        assert handed <= variables[name], url
        assert handed - {name} <= set(board.variables) | {"datasource"}, url


@each
def test_only_metrics_and_labels_that_the_router_has(board: Board) -> None:
    """A misspelt one returns nothing, and `or vector(0)` makes a healthy picture of that."""
    known = labels_by_sample()
    for text in expressions(board):
        for name in NAMED.findall(text):
            assert name in known or name in FOREIGN, f"{name} in {text}"
        for name, matchers in SELECTOR.findall(text):
            allowed = known.get(name, OF_ALERTS) | OF_ALL
            assert set(MATCHER.findall(matchers)) <= allowed, f"{name}{{{matchers}}}"


@each
def test_legends_name_labels_that_the_query_keeps(board: Board) -> None:
    for panel in board.panels:
        for target in panel["targets"]:
            kept = {
                label.strip() for by in GROUPED.findall(target["expr"]) for label in by.split(",")
            }
            assert set(LEGEND.findall(target["legendFormat"])) <= kept, (panel["title"], target)


@each
def test_what_is_many_is_cut_to_ten(board: Board) -> None:
    """A router of 500 mappings draws ten lines; tables show all of them."""
    many = {"mapping", "function", "webhook", "version", "destination"}
    for panel in board.panels:
        if panel["type"] != "timeseries":
            continue
        for target in panel["targets"]:
            if set(LEGEND.findall(target["legendFormat"])) & many:
                assert "topk(10, " in target["expr"], (panel["title"], target)


@each
def test_series_can_be_told_apart(board: Board) -> None:
    for panel in board.panels:
        legends = [target["legendFormat"] for target in panel["targets"]]
        if panel["type"] == "timeseries":
            assert len(set(legends)) == len(legends), panel["title"]


def test_what_the_source_misspells_is_named(tmp_path) -> None:
    text = source.FILE.read_text()
    for old, new, told in (
        ("unit: reqps", "unit: rqps", "rqps"),
        ("is_stacked: true", "stacked: true", "stacked"),
        ("IN_ROUTER}", "IN_RUTER}", "IN_RUTER"),
        ("palette: results", "palette: result", "no palette 'result'"),
        ("[job, instance, mapping]", "[job, instance, maping]", "no variable 'maping'"),
        ("worst: Age", "worst: age", "no column 'age'"),
    ):
        path = tmp_path / "dashboards.yaml"
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises((ValueError, msgspec.ValidationError), match=re.escape(told)):
            generate.rendered(source.load(path))


def test_what_is_provisioned_is_here() -> None:
    folder = ROOT / "deploy/grafana/provisioning"
    (data,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    assert data["type"] == "prometheus"
    (provider,) = yaml.safe_load((folder / "dashboards/router.yml").read_text())["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    scraped = ROOT / "deploy/prometheus/prometheus.yml"
    if scraped.exists():
        every = yaml.safe_load(scraped.read_text())["global"]["scrape_interval"]
        assert data["jsonData"]["timeInterval"] == every
