"""The unit for a plain host: systemd's own checks, and that it fits to the router."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from router import config
from tests.deploy.tools import ROOT, passes, program

RUNG_3 = ROOT / "deploy/systemd/rung3.conf"
UNIT = ROOT / "deploy/systemd/router.service"
EXPOSURE_MAX = {"plain": 25, "rung3": 40}
"""Tenths, as `systemd-analyze security` counts: 0 is shut off entirely, 96 a service without any
hardening. What remains is the network, and what keeps functions apart: namespaces, users."""


@pytest.fixture(scope="module")
def unit() -> dict[str, list[str]]:
    """Name → values, in order."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if match := re.match(r"(\w+)=(.*)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


@pytest.fixture(params=EXPOSURE_MAX)
def installed(request, tmp_path) -> tuple[Path, int]:
    """The unit with a program that exists here, alone or with its drop-in; how open it may be."""
    copy = tmp_path / UNIT.name
    text = UNIT.read_text() + (RUNG_3.read_text() if request.param == "rung3" else "")
    copy.write_text(text.replace("/opt/router/bin/router", "/bin/true"))
    return copy, EXPOSURE_MAX[request.param]


def test_systemd_takes_every_line(installed):
    done = subprocess.run(
        [program("systemd-analyze", "systemd"), "verify", "--man=no", installed[0]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_it_is_hardened_as_far_as_functions_can_still_be_kept_apart(installed):
    unit, exposure_max = installed
    passes(
        program("systemd-analyze", "systemd"), "security", "--offline=true", "--no-pager",
        f"--threshold={exposure_max}", unit,
    )  # fmt: skip


def test_a_function_gets_a_user_of_its_own_only_for_more_privileges(unit):
    """What the unit asks of isolation is what its privileges allow."""
    required = {"landlock", "seccomp", "mounts"}
    given = dict(text.split("=", 1) for text in unit["Environment"])
    assert set(config.load(given).isolation.require) == required
    assert unit["CapabilityBoundingSet"] == [""]
    assert unit["RestrictNamespaces"] == ["user mnt ipc"]
    more = dict(re.findall(r"^(\w+)=(.*)", RUNG_3.read_text(), re.MULTILINE))
    name, _, value = more["Environment"].partition("=")
    assert set(config.load({name: value}).isolation.require) == required | {"uid"}
    assert more["AmbientCapabilities"] == more["CapabilityBoundingSet"]


def test_its_variables_are_settings_with_values_they_take(unit):
    given = dict(text.split("=", 1) for text in unit["Environment"])
    settings = config.load(given)
    assert settings.data == f"/var/lib/{unit['StateDirectory'][0]}"
    assert settings.drain_s + 5 <= float(unit["TimeoutStopSec"][0])
    for listener in (settings.api, settings.ops):
        assert listener.startswith("127.0.0.1:")


def test_it_applies_again_what_it_started_with(unit):
    """A stack of another name would be a second one."""
    serve, apply = (shlex.split(unit[name][0]) for name in ("ExecStart", "ExecReload"))
    assert (serve[1], apply[1]) == ("serve", "apply")
    assert serve[2:] == apply[2:]


def test_its_user_has_the_number_of_the_images(unit):
    fields = (ROOT / "deploy/systemd/sysusers.conf").read_text().splitlines()[-1].split()
    assert fields[1] == unit["User"][0] == unit["Group"][0]
    assert re.search(rf"^USER {fields[2]}:", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
