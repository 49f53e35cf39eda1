"""Every setting is described, and the reference in the docs is the one the code makes."""

from pathlib import Path

import pytest

from router import config
from router.cli.settings_page import page
from router.config.describe import Setting, settings, value_of
from router.config.load import places

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "settings.md"


def one(name: str) -> Setting:
    (found,) = [it for it in settings() if it.name == name]
    return found


def test_every_setting_has_a_meaning_and_a_variable() -> None:
    described = settings()
    assert [it.name for it in described] == list(places())
    assert [it.name for it in described if not it.meaning] == []
    assert [it.name for it in described if not it.variable] == ["access_keys"]
    for it in described:
        if it.variable:
            assert config.load({it.variable: ""}) == config.load({}), it.variable


@pytest.mark.parametrize(
    ("name", "variable", "option", "must_be", "unit", "default"),
    [
        ("listen.header_bytes_max", "ROUTER_INGRESS_HEADER_BYTES_MAX", "",
         "a whole number from 1024", "bytes", "16384"),
        ("data", "ROUTER_DATA", "--data", "text", "", '".router"'),
        ("drain_s", "ROUTER_DRAIN_S", "", "a number from 0 to 900", "s", "25"),
        ("environment_idle_s", "ROUTER_ENVIRONMENT_IDLE_S", "", "a number above 0", "s", "600"),
        ("asynchronous.backoff_ms_max", "ROUTER_ASYNC_BACKOFF_MS_MAX", "",
         "a whole number from 1000 to 450000", "ms", "300000"),
        ("insecure", "ROUTER_INSECURE", "--insecure", "true or false", "", "false"),
        ("log_format", "ROUTER_LOG_FORMAT", "", "auto, json or text", "", '"auto"'),
        ("kafka.clusters", "ROUTER_KAFKA_CLUSTERS", "", "a table, each text → text", "", "{}"),
        ("isolation.require", "ROUTER_ISOLATION_REQUIRE", "",
         "a list, each plain, landlock, seccomp, uid, mounts or cgroup", "", "[]"),
    ],
)  # fmt: skip
def test_one_setting(
    name: str, variable: str, option: str, must_be: str, unit: str, default: str
) -> None:
    it = one(name)
    assert (it.variable, it.option, it.must_be, it.unit, it.default) == (
        variable, option, must_be, unit, default,
    )  # fmt: skip


def test_values_as_the_file_has_them() -> None:
    loaded = config.Settings(
        access_keys={"AKIA": "canary"},
        runtimes={"python3.12": "/usr/bin/python3.12"},
        kafka=config.KafkaSettings(sasl_without_tls=("a:1", "b:2")),
        insecure=True,
    )
    assert value_of(one("runtimes"), loaded) == '{"python3.12" = "/usr/bin/python3.12"}'
    assert value_of(one("kafka.sasl_without_tls"), loaded) == '["a:1", "b:2"]'
    assert value_of(one("insecure"), loaded) == "true"
    assert value_of(one("access_keys"), loaded) == '{"AKIA" = "…"}'


def test_the_reference_is_current() -> None:
    """Else: `router settings --markdown > docs/settings.md`."""
    assert DOCUMENT.read_text("utf-8") == page()
