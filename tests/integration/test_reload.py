"""`router serve --watch` on a mounted ConfigMap: swaps, broken ones among them, under traffic.

The old one runs on while the new one is broken; log, metrics, doctor and page say why.
"""

import json
import shutil
import sys

from tests.integration.bed import (
    TELLING,
    assert_in_order,
    call,
    function,
    mapping,
    template,
    until,
    webhook,
)

WHOLE = template(webhook(), function(code="functions"), mapping(BatchSize=5))
WITH_SECRET = WHOLE.replace(
    "EAR: !Ref Ear", 'EAR: !Ref Ear, TOKEN: "{{resolve:secretsmanager:late}}"'
)


class Mount:
    """A folder as kubelet keeps it: names lead through `..data`, which is replaced as a whole."""

    def __init__(self, folder):
        self.folder, self.generation = folder, 0
        folder.mkdir()

    def swap(self, text, version):
        self.generation += 1
        fresh = self.folder / f"..2024_11_22.{self.generation}"
        (fresh / "functions").mkdir(parents=True)
        (fresh / "template.yaml").write_text(text)
        code = TELLING.replace("VERSION = 1", f"VERSION = {version}")
        (fresh / "functions" / "app.py").write_text(code)
        old = (self.folder / "..data").resolve()
        (self.folder / "..data_tmp").symlink_to(fresh.name)
        (self.folder / "..data_tmp").rename(self.folder / "..data")
        for name in ("template.yaml", "functions"):
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        if old.name.startswith("..2024"):
            shutil.rmtree(old)


def test_swaps_of_a_config_map_broken_ones_among_them_lose_and_repeat_nothing(bed, tmp_path):
    mount = Mount(tmp_path / "etc")
    mount.swap(WHOLE, 1)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "hook").write_text("integration-secret")
    bed.template = mount.folder / "template.yaml"
    bed.mode = "serve"
    bed.environment |= {
        "ROUTER_RUNTIMES": f"python3.11={sys.executable}",
        "ROUTER_SECRETS_DIR": str(secrets),
    }
    bed.start("--watch")
    assert reloads(bed) == (1, {"ok": 0, "failed": 0})
    names = [row["FunctionName"] for row in bed.told("mappings", "list")]
    with bed.traffic(keys=2) as traffic:
        until(lambda: len(bed.ear.handled()) > 10)
        mount.swap(WHOLE, 2)
        until(lambda: 2 in versions(bed), what="the new code")
        applied = until(lambda: reloads(bed)[0] == 1 and reloads(bed)[1]["ok"])

        mount.swap(WHOLE.replace("BatchSize: 5", "BatchSize: many"), 3)
        problem = refused(bed, 1)
        line = next(n for n, row in enumerate(WHOLE.splitlines(), 1) if "BatchSize" in row)
        assert f"template.yaml:{line}:" in problem
        assert "Feed.BatchSize" in problem
        assert reloads(bed) == (0, {"ok": applied, "failed": 1})
        doctor = bed.cli("doctor", "--json")
        (found,) = [row for row in json.loads(doctor.stdout) if row["check"] == "reload"]
        assert not found["ok"]
        assert "BatchSize" in found["text"]
        until(lambda: "Feed.BatchSize" in page(bed), what="the page's telling")

        mount.swap(WITH_SECRET, 3)
        assert "Worker.Environment.Variables.TOKEN: secret 'late' is nowhere" in refused(bed, 2)
        at_refusal = len(bed.ear.handled())
        until(lambda: len(bed.ear.handled()) > at_refusal + 10, what="the old one at work")
        assert 3 not in versions(bed)

        (secrets / "late").write_text("here")  # nothing else is saved
        until(lambda: 3 in versions(bed), what="the new code, once its secret is there")
        until(lambda: reloads(bed)[0] == 1)
    until(lambda: set(traffic.accepted) == set(bed.ear.handled()), what="every record handled")
    seen = bed.ear.records()
    assert len(seen) == len(set(seen)), "a reload repeated a record"
    assert_in_order(seen)
    assert [row["FunctionName"] for row in bed.told("mappings", "list")] == names
    assert bed.stop() == 0


def versions(bed):
    return {facts["version"] for facts in bed.ear.heard if facts["what"] == "record"}


def page(bed):
    return call(bed.addresses["ops"], "/").body.decode()


def refused(bed, count):
    """The text of the refusal of this number."""
    return until(
        lambda: len(lines := bed.lines("template_not_applied")) >= count and lines[-1]["error"],
        what="a refusal in the log",
    )


def reloads(bed):
    """Whether the last one was applied, and how many there were of each result."""
    found = bed.metrics()
    ((_, is_well),) = found["router_config_last_reload_successful"]
    return is_well, {
        labels["result"]: count for labels, count in found["router_config_reload_total"]
    }
