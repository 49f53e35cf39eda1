"""Folders that settings name, as functions see them: through the pool, at each rung."""

import json
import os

import pytest

from router.model.errors import ConfigError, NotInvoked
from router.model.hosting import Hosting
from router.workers.isolation.plan import IsolationSettings, probe
from router.workers.launcher import own_interpreter
from router.workers.pool import PoolSettings

from .conftest import Bed

pytestmark = pytest.mark.slow

SOURCE = """
import os
def attempt(path, size=3):
    try:
        with open(path, "w") as file:
            file.write("x" * size)
        return sorted(os.listdir(os.path.dirname(path)))
    except OSError as error:
        return type(error).__name__
def handler(event, context):
    return [attempt(path) for path in event]
"""

RUNGS = [(0, True), (1, True), (2, False), (2, True), (3, False), (3, True)]


async def opened(data, rung, view, mapped):
    """A bed at a rung; None where the host has no such rung."""
    try:
        facts = probe(own_interpreter(), IsolationSettings(rung=rung, mounts=view))
    except ConfigError:
        assert probe(own_interpreter(), IsolationSettings(mounts=view)).rung < rung
        return None
    bed = Bed(data, facts)
    bed.hosting = Hosting(file_systems=mapped)
    await bed.open(PoolSettings())
    bed.has_view = "mounts" in facts.mechanisms
    bed.has_landlock = "landlock" in facts.mechanisms
    return bed


@pytest.mark.parametrize(("rung", "view"), RUNGS)
async def test_a_function_writes_to_the_folder_it_asked_for_and_no_other(data, rung, view):
    ledger, other = data / "ledger", data / "other"
    for folder in (ledger, other):
        folder.mkdir()
        folder.chmod(0o777)
    mapped = {"/mnt/ledger": str(ledger), str(ledger): str(ledger), "/mnt/other": str(other)}
    bed = await opened(data, rung, view, mapped)
    if bed is None:
        return
    try:
        seen = "/mnt/ledger" if bed.has_view else str(ledger)
        event = json.dumps([f"{seen}/row", f"{other}/row", "/mnt/other/row"]).encode()
        asking = bed.function(SOURCE, file_systems=(seen,))
        granted, *refused = json.loads((await bed.invoke(asking, event)).payload)
        assert granted == ["row"]
        assert (ledger / "row").read_text() == "xxx"
        if bed.has_view or bed.has_landlock:
            assert all(isinstance(error, str) for error in refused), refused
            not_asking = bed.function(SOURCE, name="other")
            assert isinstance(json.loads((await bed.invoke(not_asking, event)).payload)[0], str)
    finally:
        await bed.pool.close(0)


@pytest.mark.parametrize(("rung", "view"), RUNGS)
async def test_where_there_is_no_view_the_path_must_be_the_hosts_own(data, rung, view):
    bed = await opened(data, rung, view, {"/mnt/ledger": str(data)})
    if bed is None:
        return
    try:
        data.chmod(0o777)
        asking = bed.function(SOURCE, file_systems=("/mnt/ledger",))
        if bed.has_view:
            assert (await bed.invoke(asking, b"[]")).payload == b"[]"
            return
        with pytest.raises(NotInvoked, match="must be a folder of the host itself") as info:
            await bed.invoke(asking, b"[]")
        assert info.value.reason == "start_failed"
    finally:
        await bed.pool.close(0)


async def test_a_folder_the_functions_user_cannot_write_to_says_what_to_do(data, facts):
    ledger = data / "ledger"
    ledger.mkdir(mode=0o755)
    bed = Bed(data, facts)
    bed.hosting = Hosting(file_systems={"/mnt/ledger": str(ledger), str(ledger): str(ledger)})
    await bed.open(PoolSettings())
    try:
        seen = "/mnt/ledger" if "mounts" in facts.mechanisms else str(ledger)
        asking = bed.function(SOURCE, file_systems=(seen,))
        if "uid" not in facts.mechanisms:
            assert (await bed.invoke(asking, b"[]")).payload == b"[]"
            return
        with pytest.raises(NotInvoked, match=f"chown [0-9]+ {ledger}, or chmod"):
            await bed.invoke(asking, b"[]")
        (user,) = bed.launcher._planner._uids.values()
        os.chown(ledger, user, user)
        assert (await bed.invoke(asking, b"[]")).payload == b"[]"
    finally:
        await bed.pool.close(0)


async def test_a_path_without_a_folder_names_the_setting(bed: Bed):
    asking = bed.function(SOURCE, file_systems=("/mnt/ledger",))
    with pytest.raises(NotInvoked, match=r"file_systems.*ROUTER_FILE_SYSTEMS=/mnt/ledger=") as info:
        await bed.invoke(asking, b"[]")
    assert info.value.reason == "start_failed"


async def test_links_in_the_folder_lead_nowhere_else(data, facts):
    """A link is followed in the function's view, where its target is not."""
    ledger, secret = data / "ledger", data / "secret"
    ledger.mkdir()
    ledger.chmod(0o777)
    secret.write_text("not for functions")
    (ledger / "link").symlink_to(secret)
    bed = Bed(data, facts)
    bed.hosting = Hosting(file_systems={"/mnt/ledger": str(ledger), str(ledger): str(ledger)})
    await bed.open(PoolSettings())
    try:
        seen = "/mnt/ledger" if "mounts" in facts.mechanisms else str(ledger)
        source = "def handler(event, context):\n    return open(event).read()\n"
        asking = bed.function(source, file_systems=(seen,))
        reply = await bed.invoke(asking, json.dumps(f"{seen}/link").encode())
        if {"mounts", "landlock"} & set(facts.mechanisms):
            assert reply.error_type in ("FileNotFoundError", "PermissionError")
        else:
            assert reply.error_type is None
    finally:
        await bed.pool.close(0)


async def test_a_strict_router_starts_no_runtime_that_is_not_mapped(data, facts):
    bed = Bed(data, facts)
    bed.hosting = Hosting(is_strict=True, runtimes={"python3.12": own_interpreter()})
    await bed.open(PoolSettings())
    try:
        mapped = bed.function("def handler(e, c): return 1\n", runtime="python3.12")
        assert (await bed.invoke(mapped)).payload == b"1"
        unmapped = bed.function("def handler(e, c): return 1\n", runtime="python3.13")
        with pytest.raises(NotInvoked, match=r"\[runtimes\].*ROUTER_RUNTIMES=python3\.13="):
            await bed.invoke(unmapped)
    finally:
        await bed.pool.close(0)
