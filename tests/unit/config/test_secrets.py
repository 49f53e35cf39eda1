"""Secrets come from a file first, then from a variable; what is wrong never shows them."""

from pathlib import Path

import pytest

from router import config
from router.model.errors import ConfigError


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


def test_a_secret_that_is_no_text_is_told_without_showing_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"canary\xff\xfe")
    with pytest.raises(ConfigError, match="'key' is no UTF-8 text") as error:
        config.resolve_secret("{{resolve:ssm-secure:key}}", str(tmp_path), {})
    assert "canary" not in str(error.value)
