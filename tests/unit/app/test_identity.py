"""A data folder belongs to one region and account."""

import json
import stat

import pytest

from router.app.identity import claim, read, write_private
from router.config import Settings
from router.model.errors import ConfigError


def settings(folder, region="us-east-1"):
    return Settings(data=str(folder / "data"), region=region)


def test_claimed_once_it_is_recognised(tmp_path):
    folder = claim(settings(tmp_path))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert claim(settings(tmp_path)) == folder == read(settings(tmp_path))
    found = json.loads((folder / "identity.json").read_text())
    assert found == {"region": "us-east-1", "account": "000000000000"}


def test_reading_makes_nothing(tmp_path):
    read(settings(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("check", [claim, read])
def test_another_region_is_refused_by_name(tmp_path, check):
    folder = claim(settings(tmp_path))
    before = (folder / "identity.json").read_bytes()
    with pytest.raises(ConfigError, match=r"us-east-1.*eu-west-1"):
        check(settings(tmp_path, "eu-west-1"))
    assert (folder / "identity.json").read_bytes() == before


@pytest.mark.parametrize("content", ["", "{", "[]", "3"])
def test_a_broken_identity_is_said_and_kept(tmp_path, content):
    folder = claim(settings(tmp_path))
    (folder / "identity.json").write_text(content)
    with pytest.raises(ConfigError, match=r"identity\.json"):
        claim(settings(tmp_path))
    assert (folder / "identity.json").read_text() == content


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigError, match="data"):
        claim(settings(tmp_path))


def test_what_is_private_is_for_one_user_and_whole(tmp_path):
    write_private(tmp_path / "address.json", {"token": "t"})
    assert stat.S_IMODE((tmp_path / "address.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["address.json"]
