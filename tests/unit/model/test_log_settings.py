"""`LoggingConfig`: defaults, updates, what cannot be (`functions-and-invocation.md` 4.1)."""

from router.model.log_settings import (
    LEVELS_NEED_JSON,
    TEXT,
    LogSettings,
    level_problem,
    log_settings,
    merged_config,
)


def test_what_is_left_out_has_its_default():
    assert log_settings("f", None) == TEXT
    assert log_settings("f", {"LogFormat": "Text", "LogGroup": "/aws/lambda/f"}) == TEXT
    assert log_settings("f", {"LogFormat": "JSON", "LogGroup": "/own"}) == LogSettings(
        is_json=True, application_level="INFO", system_level="INFO", group="/own"
    )


def test_an_update_changes_what_it_names():
    stored = {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "LogGroup": "/own"}
    assert merged_config(stored, {"SystemLogLevel": "WARN"}) == {**stored, "SystemLogLevel": "WARN"}
    assert merged_config(stored, {"LogFormat": "Text"}) == {"LogFormat": "Text", "LogGroup": "/own"}
    assert merged_config(None, {"LogFormat": "JSON"}) == {"LogFormat": "JSON"}


def test_levels_need_json():
    given = {"ApplicationLogLevel": "DEBUG"}
    assert level_problem(given) == LEVELS_NEED_JSON
    assert level_problem(merged_config({"LogFormat": "Text"}, given)) == LEVELS_NEED_JSON
    assert level_problem(merged_config({"LogFormat": "JSON"}, given)) is None
    assert level_problem(None) is None
