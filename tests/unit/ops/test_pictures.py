"""Pictures of numbers."""

import re

import pytest

from router.ops import pictures as p
from router.ops.history import POINTS


def line_of(svg):
    return re.search(r'class="line" d="([^"]*)"', svg)[1]


def test_the_last_point_is_at_the_right_and_the_most_at_the_top():
    line = line_of(p.spark([0, 2, 1]))
    assert line.endswith(f"L{p.WIDTH} 14")
    assert "L118 0L" in line
    assert line.startswith("M115.9 28")


@pytest.mark.parametrize("points", [[], [0], [5], [0] * 100, [1e12] * 61])
def test_whatever_the_points_it_stays_inside(points):
    for svg in (p.spark(points, "warn"), p.chart(points)[0]):
        pairs = re.findall(r"([\d.]+) ([\d.]+)", line_of(svg))
        assert 2 <= len(pairs) <= POINTS
        assert all(float(y) <= p.CHART_HEIGHT for _, y in pairs)
        assert "nan" not in svg


@pytest.mark.parametrize(
    ("most", "top"),
    [(0, 1), (0.3, 0.5), (0.0004, 0.001), (1, 1), (1.2, 2), (7, 10), (10, 10), (480, 500),
     (5_001, 10_000)],
)  # fmt: skip
def test_grids_end_at_round_numbers(most, top):
    assert p.chart([0, most])[1] == pytest.approx(top)


def test_bars_fit_into_their_ground():
    svg = p.bar([(1, "busy"), (3, "warm")], 4)
    assert 'class="busy" x="0" y="0" width="30"' in svg
    assert 'class="warm" x="30" y="0" width="90"' in svg
    assert "warm" not in p.bar([(1, "busy"), (0, "warm")], 1)
    assert "busy" not in p.bar([(1, "busy")], 0)
    assert 'width="120"' in p.bar([(9, "busy")], 4)
