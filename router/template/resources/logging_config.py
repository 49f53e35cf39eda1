"""`LoggingConfig` of a function in a template (`functions-and-invocation.md` 4.1)."""

from router.model.log_settings import APPLICATION_LEVELS, SYSTEM_LEVELS, level_problem
from router.template.properties import Properties

GROUP_PATTERN = r"[.\-_/#A-Za-z0-9]{1,512}"


def logging_config(properties: Properties) -> dict[str, object] | None:
    """As the API takes it; None when there is none."""
    section = properties.section("LoggingConfig")
    if section is None:
        return None
    section.check_known(
        ("LogFormat", "LogGroup", "ApplicationLogLevel", "SystemLogLevel"), "LoggingConfig"
    )
    config = {
        "LogFormat": section.text("LogFormat", "Text", choices=("Text", "JSON")),
        "LogGroup": section.text("LogGroup", pattern=GROUP_PATTERN),
        "ApplicationLogLevel": section.text("ApplicationLogLevel", choices=APPLICATION_LEVELS),
        "SystemLogLevel": section.text("SystemLogLevel", choices=SYSTEM_LEVELS),
    }
    given: dict[str, object] = {name: value for name, value in config.items() if value}
    if problem := level_problem(given):
        properties.problem("LoggingConfig", problem)
    return given
