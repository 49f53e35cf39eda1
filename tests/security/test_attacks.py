"""Every attack succeeds on rung 0 and is refused from its promised rung on (`reliability.md` 5, 9).

Run through the real pool, as root and as an unprivileged user, with and without a private file
view. The table rung × attack × outcome is printed (`pytest -s`).
"""

import functools
import itertools
import json
import os
import subprocess
import sys

import pytest

from router.workers.isolation.plan import IsolationSettings, probe
from router.workers.launcher import own_interpreter
from tests.security.functions.attacker import ATTACKS
from tests.security.table import WAYS

NOBODY = 65_534
IS_ROOT = os.getuid() == 0
USERS = (0, NOBODY) if IS_ROOT else (os.getuid(),)
SETTINGS = [
    (rung, user, view)
    for user in USERS
    for rung, view in ((0, 1), (1, 1), (2, 0), (2, 1), (3, 1))
    if rung < 3 or user == 0
]

PROMISED_RUNG = {
    "find inherited descriptors": 0,
    "speak at another's Runtime API": 0,
    "hold a capability": 1,
    "call the api listener": 3,
    "choose the router's cores": 3,
}
"""Every other attack: rung 2."""

NEEDS = {
    "use System V shared memory": "ipc",
    "leave System V shared memory behind": "ipc",
    "see another's command line": "proc",
    "call a socket in the file system": "mounts",
}
"""Attacks that only this mechanism stops, at the promised rung or above."""

REFUSED_BY_NATURE = {
    "find inherited descriptors": "the zygote is an exec of its own with nothing open",
    "speak at another's Runtime API": "the listener looks who connects, whatever the rung",
}
UNPRIVILEGED = {
    "hold a capability": "such a user has none",
    "load a BPF map": "kernel.unprivileged_bpf_disabled",
}
BY_HOST = {"make a user namespace", "clone into a namespace", "mount a file system"} | {
    name for name in ATTACKS if name.startswith("use ") and "shared" not in name
}
"""Parts of the kernel that a host may lack or keep from everybody already."""


@functools.cache
def table(rung, user, view):
    uid = 0 if user == os.getuid() else user
    command = [sys.executable, "-m", "tests.security.table", str(rung), str(uid), str(view)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("rung", "user", "view"), SETTINGS)
def test_attacks_are_refused_from_their_promised_rung_on(rung, user, view):
    result = table(rung, user, view)
    if "refused" in result:  # this host has no such rung: nothing may have run on a lower one
        facts = probe(own_interpreter(), IsolationSettings(mounts=bool(view)))
        assert facts.rung < rung or user != os.getuid(), result["refused"]
        return
    wrong = []
    every = [
        (name, outcome)
        for outcomes in result["outcomes"].values()
        for name, outcome in outcomes.items()
    ]
    for name, outcome in every:
        needed = NEEDS.get(name)
        is_promised = rung >= PROMISED_RUNG.get(name, 2) and (
            needed is None or needed in result["mechanisms"]
        )
        if is_promised and outcome["done"]:
            wrong.append(f"{name}: not refused: {outcome['text']}")
        may_fail = (
            name in REFUSED_BY_NATURE
            or (user != 0 and name in UNPRIVILEGED)
            or (name in BY_HOST and "Errno" in outcome["text"])
        )
        if rung == 0 and not outcome["done"] and not may_fail:
            wrong.append(f"{name}: proves nothing, refused at rung 0: {outcome['text']}")
    assert not wrong


@pytest.mark.parametrize("user", USERS)
def test_a_rung_above_what_works_is_refused_not_lowered(user):
    if user == 0:
        assert table(3, 0, 1)["mechanisms"], "root has rung 3 wherever this suite runs as root"
        return
    assert "highest that works here is" in table(3, user, 1)["refused"]


def test_table_opens_nothing_on_the_way_up(capsys):
    results = [table(*setting) for setting in SETTINGS]
    lines = [" " * 36 + "  ".join(f"{f'uid {user}':9}" for _, user, _ in SETTINGS)]
    heads = [f"{rung}{'' if view else ' no view'}" for rung, _, view in SETTINGS]
    lines.append(" " * 36 + "  ".join(f"{head:9}" for head in heads))
    opened = []
    for way, name in itertools.product(WAYS, ATTACKS):
        cells = []
        for result in results:
            outcome = result.get("outcomes", {}).get(way, {}).get(name)
            cells.append("–" if outcome is None else "OPEN" if outcome["done"] else "refused")
        lines.append(f"{way:7}{name:36}" + "  ".join(f"{cell:9}" for cell in cells))
        for user in USERS:
            way_up = [cells[at] for at, (_, who, _) in enumerate(SETTINGS) if who == user]
            if "refused" in way_up and "OPEN" in way_up[way_up.index("refused") :]:
                opened.append((way, name, user, way_up))
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert not opened
