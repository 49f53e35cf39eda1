"""Settings: later sources win, unknown names are refused, secrets come from two places."""

from pathlib import Path

import pytest

from router import config
from router.model.errors import ConfigError


def test_defaults_stand_alone() -> None:
    settings = config.load({})
    assert settings.api == "127.0.0.1:9470"
    assert settings.region == "us-east-1"
    assert settings.store.synchronous == "full"


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "router.toml"
    file.write_text('data = "from-file"\ndrain_s = 1\n[store]\nbytes_max = 2000000\n')
    environ = {"ROUTER_DATA": "from-environment", "ROUTER_STORE_BYTES_MAX": "3000000"}
    settings = config.load(environ, {"api": "127.0.0.1:1", "ops": None}, file)
    assert settings.data == "from-environment"
    assert settings.drain_s == 1
    assert settings.store.bytes_max == 3_000_000
    assert settings.api == "127.0.0.1:1"
    assert settings.ops == "127.0.0.1:9464", "an option that was not given changes nothing"


def test_the_region_may_come_from_aws() -> None:
    assert config.load({"AWS_REGION": "eu-central-1"}).region == "eu-central-1"
    both = {"AWS_REGION": "eu-central-1", "ROUTER_REGION": "eu-west-1"}
    assert config.load(both).region == "eu-west-1"


def test_lists_and_flags_from_the_environment() -> None:
    settings = config.load({"ROUTER_ISOLATION_REQUIRE": "landlock, uid", "ROUTER_INSECURE": "yes"})
    assert settings.isolation.require == ("landlock", "uid")
    assert settings.insecure is True


@pytest.mark.parametrize(
    ("environ", "part"),
    [
        ({"ROUTER_COLOUR": "red"}, "ROUTER_COLOUR"),
        ({"ROUTER_DRAIN_S": "soon"}, "ROUTER_DRAIN_S"),
        ({"ROUTER_DRAIN_S": "-1"}, "drain_s"),
        ({"ROUTER_API": "nowhere"}, "api"),
        ({"ROUTER_INSECURE": "perhaps"}, "ROUTER_INSECURE"),
        ({"ROUTER_STORE_SYNCHRONOUS": "off"}, "store.synchronous"),
        ({"ROUTER_ACCOUNT": "12"}, "account"),
    ],
)
def test_what_is_wrong_is_named(environ: dict[str, str], part: str) -> None:
    with pytest.raises(ConfigError, match="settings:") as error:
        config.load(environ)
    assert part in str(error.value)


def test_an_unknown_name_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "router.toml"
    file.write_text("[store]\nspeed = 11\n")
    with pytest.raises(ConfigError, match="speed"):
        config.load({}, file=file)


@pytest.mark.parametrize("text", ["not = [toml", "\x00"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "router.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"router\.toml"):
        config.load({}, file=file)


def test_every_setting_is_described() -> None:
    rows = {name: place for name, place, _default in config.describe()}
    assert rows["ROUTER_INGRESS_HEADER_BYTES_MAX"] == "listen.header_bytes_max"
    assert rows["ROUTER_DATA"] == "data"
    for name in rows:
        assert config.load({name: ""}) == config.Settings(region="us-east-1")


def test_a_secret_comes_from_its_file_first(tmp_path: Path) -> None:
    (tmp_path / "github").write_text("from-file\n")
    reference = "{{resolve:secretsmanager:github}}"
    environ = {"ROUTER_SECRET_GITHUB": "from-variable"}
    assert config.resolve_secret(reference, str(tmp_path), environ) == "from-file"
    assert config.resolve_secret(reference, "", environ) == "from-variable"
    assert config.resolve_secret("plain", "", {}) == "plain"


def test_a_secret_that_is_nowhere_names_both_places(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        config.resolve_secret("{{resolve:ssm-secure:db/password}}", str(tmp_path), {})
    assert "ROUTER_SECRET_DB_PASSWORD" in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_secret_name_cannot_leave_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "other").write_text("x")
    with pytest.raises(ConfigError):
        config.resolve_secret("{{resolve:ssm-secure:../other}}", str(tmp_path / "secrets"), {})
