"""Which lines a level lets through (`functions-and-invocation.md` 8.7)."""

import pytest

from router.model.log_settings import LogSettings
from router.workers.log_levels import RANKS, Threshold, level_of

AT = '"timestamp": "2026-07-01T10:00:00Z"'

LINES = {
    "words": "INFO",
    "{no json": "INFO",
    '{"level": "ERROR"}': "INFO",
    '{"level": "ERROR", "timestamp": "yesterday"}': "INFO",
    '{"level": 7, "timestamp": 7}': "INFO",
    '{"level": "LOUD", ' + AT + "}": "INFO",
    '{"level": "debug", ' + AT + "}": "DEBUG",
    '{"level": "WARNING", ' + AT + "}": "WARN",
    '{"level": "CRITICAL", ' + AT + "}": "FATAL",
    '{"level": "TRACE", ' + AT + "}": "TRACE",
}


@pytest.mark.parametrize("line", LINES)
def test_the_level_of_a_line(line):
    assert level_of(line.encode()) == RANKS[LINES[line]]


def test_what_a_threshold_shows():
    assert Threshold.of(LogSettings(application_level="ERROR")) is None
    assert Threshold.of(LogSettings(is_json=True, application_level="TRACE")) is None
    threshold = Threshold.of(LogSettings(is_json=True, application_level="WARN"))
    assert threshold is not None
    shown = [line for line in LINES if threshold.shows(line.encode())]
    assert [LINES[line] for line in shown] == ["WARN", "FATAL"]
