"""Settings: later sources win; what is wrong is named with the place it came from."""

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
        (
            {"ROUTER_DRAIN_S": "-1"},
            "drain_s (ROUTER_DRAIN_S) must be a number from 0 to 900, not -1",
        ),
        ({"ROUTER_API": "nowhere"}, "api (ROUTER_API) must be HOST:PORT"),
        ({"ROUTER_OPS": "[::1]:65536"}, "ops (ROUTER_OPS) is [::1]:65536, but ports end at 65535"),
        ({"ROUTER_CONCURRENCY_MAX": "1.5"}, "ROUTER_CONCURRENCY_MAX must be a whole number"),
        ({"ROUTER_ISOLATION_RUNG": "9"}, "isolation.rung (ROUTER_ISOLATION_RUNG) must be auto, 0,"),
        (
            {"ROUTER_ISOLATION_REQUIRE": "uid,moat"},
            "must be a list, each plain, landlock, seccomp, uid, mounts or cgroup, not 'uid,moat'",
        ),
        (
            {"ROUTER_FILE_SYSTEMS": "/srv=/srv"},
            "file_systems (ROUTER_FILE_SYSTEMS) must be a table",
        ),
        (
            {"ROUTER_RUNTIME_CLIENTS": "cobol=/srv"},
            "each java, nodejs or python → an absolute path",
        ),
        ({"ROUTER_RUNTIMES": "a=/1,a=/2"}, "ROUTER_RUNTIMES has a twice"),
        ({"ROUTER_URL_BASE": "ftp://x"}, "url_base (ROUTER_URL_BASE) must be http:// or https://"),
        ({"ROUTER_INSECURE": "perhaps"}, "ROUTER_INSECURE"),
        ({"ROUTER_STORE_SYNCHRONOUS": "off"}, "must be full or normal, not 'off'"),
        ({"ROUTER_ACCOUNT": "12"}, "account (ROUTER_ACCOUNT) must be 12 digits, not '12'"),
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


@pytest.mark.parametrize("rung", ["4", "-1", "high", "³"])
def test_a_rung_that_is_none(rung: str) -> None:
    with pytest.raises(ConfigError, match=r"isolation.rung .* must be auto, 0, 1, 2 or 3"):
        config.load({"ROUTER_ISOLATION_RUNG": rung})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ROUTER_INGRES", "did you mean ROUTER_INGRESS?"),
        ("ROUTER_API_PORT", "did you mean ROUTER_API?"),
        ("ROUTER_DRAIN_SECONDS", "did you mean ROUTER_DRAIN_S?"),
        ("ROUTER_ENDPIONT", "did you mean ROUTER_ENDPOINT?"),
        ("ROUTER_ACCESS_KEYS", "access_keys can be set in router.toml only"),
        ("ROUTER_ZZZ", "`router settings` lists all there are"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(name: str, hint: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.load({name: "9470"})
    assert str(error.value) == f"settings: unknown environment variable {name}; {hint}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dranin_s = 1", "unknown setting dranin_s in FILE; did you mean drain_s?"),
        (
            "[store]\nbyte_max = 1",
            "unknown setting store.byte_max in FILE; did you mean store.bytes",
        ),
        ("[storage]\nx = 1", "unknown setting storage in FILE; did you mean store?"),
        ("bytes_max = 1", "unknown setting bytes_max in FILE; did you mean "),
        ("[isolation]\nsynchronous = 'full'", "in FILE; did you mean store.synchronous?"),
        ("zzz = 1", "unknown setting zzz in FILE; `router settings` lists all there are"),
        ("drain_s = 'soon'", "drain_s (FILE) must be a number from 0 to 900, not 'soon'"),
        ("store = 'big'", "store (FILE) is a section: write it as [store]"),
        ("[ingress]\nconnections_max = 5", "ingress (FILE) must be HOST:PORT"),
        ("isolation.require = ['moat']", "isolation.require (FILE) must be a list, each plain, "),
        ("insecure = 'yes'", "insecure (FILE) must be true or false, not 'yes'"),
        ("account = 12", "account (FILE) must be 12 digits, not 12"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "router.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        config.load({}, file=file)
    assert said.replace("FILE", str(file)) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_key_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "router.toml"
    file.write_text("[access_keys]\nAKIA = 123454321\n")
    with pytest.raises(ConfigError, match="access_keys") as error:
        config.load({}, file=file)
    assert "123454321" not in str(error.value)


def test_a_file_that_is_not_there_is_told_without_a_trace(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*none\.toml: No such file"):
        config.load({}, file=tmp_path / "none.toml")


def test_what_was_set_knows_where(tmp_path: Path) -> None:
    file = tmp_path / "router.toml"
    file.write_text('data = "x"\n[store]\nbytes_max = 2000000\nwaiting_bytes_max = 2000000\n')
    environ = {"ROUTER_STORE_BYTES_MAX": "3000000", "AWS_REGION": "eu-west-1"}
    loaded = config.read(environ, {"api": "127.0.0.1:0", "log_level": "debug", "ops": None}, file)
    assert loaded.origins == {
        "data": str(file),
        "store.bytes_max": "ROUTER_STORE_BYTES_MAX",
        "store.waiting_bytes_max": str(file),
        "region": "AWS_REGION",
        "api": "--api",
        "log_level": "--log-level",
    }
    assert loaded.settings.store.bytes_max == 3_000_000
