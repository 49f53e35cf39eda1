"""`router backup` while records come and go, `router restore` elsewhere, and a start on that.

Every record that was accepted before the back-up began was finished by the old router or is by the
new one; what the new one repeats was in flight.
"""

import json
import sqlite3
import sys

from tests.integration.bed import (
    assert_in_order,
    function,
    mapping,
    queue,
    template,
    to_queue,
    until,
    webhook,
)

KEYS = 4
IN_FLIGHT_MAX = 2 * KEYS * 5
"""Batches of each lane that may have been called and not written down: one, and one as it ends."""

WHOLE = template(
    webhook(shards=2),
    function(),
    mapping(BatchSize=5, MaximumRetryAttempts=0, **to_queue()),
    queue(),
)


def test_a_backup_of_a_busy_router_starts_elsewhere_and_goes_on(routers):
    old, new = routers(), routers()
    ear = old.ear
    for bed in (old, new):
        bed.mode = "serve"
        bed.environment["ROUTER_RUNTIMES"] = f"python3.11={sys.executable}"
    old.write(WHOLE)
    old.code()
    old.start()
    names = [row["FunctionName"] for row in old.told("mappings", "list")]
    assert old.post("poison", 0, poison=True).status == 202
    until(lambda: waiting(old) == 1, what="the message of what was given up")

    with old.traffic(keys=KEYS) as traffic:
        until(lambda: len(ear.handled()) > 50)
        accepted, finished = set(traffic.accepted), set(ear.handled())
        done = old.cli("backup", str(old.folder / "one.tar"), "--rate", "1")
        assert done.returncode == 0, done.stderr
        assert "schema version" in done.stderr
        during = len(traffic.accepted)
    assert during > len(accepted), "nothing was accepted while it was backed up"
    until(lambda: set(traffic.accepted) <= set(ear.handled()), what="the old one's end")
    assert old.stop() == 0
    by_old, ear.heard[:] = set(ear.handled()), []

    done = new.cli("restore", str(old.folder / "one.tar"))
    assert done.returncode == 0, done.stderr
    assert is_whole(new.data / "router.db")
    refused = new.cli("restore", str(old.folder / "one.tar"))
    assert refused.returncode == 1
    assert "is not empty" in refused.stderr

    (old.folder / "code" / "app.py").unlink()  # it has its own
    new.environment["ROUTER_SECRET_HOOK"] = "integration-secret"
    new.start(with_template=False)
    assert [row["FunctionName"] for row in new.told("mappings", "list")] == names
    assert waiting(new) == 1
    assert new.post("after", 0).status == 202
    until(lambda: ("after", 0) in ear.handled(), what="a record of the new one")
    until(
        lambda: all(row["Lag"] == 0 for row in new.told("mappings", "list")),
        what="all that was left to do",
    )
    by_new = ear.records()
    assert len(by_new) == len(set(by_new)), "the restored router handled a record twice"
    assert_in_order(by_new)
    assert accepted <= by_old | set(by_new)
    again = finished & set(by_new)
    assert len(again) <= IN_FLIGHT_MAX, sorted(again)
    assert new.stop() == 0


def waiting(bed):
    """Messages in the one queue."""
    (row,) = bed.json_call("Router.ListQueues").json["Queues"]
    return row["Visible"]


def is_whole(path):
    db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        db.close()


def test_an_archive_goes_through_a_pipe(bed, routers):
    """As `kubectl exec … router backup - > FILE` does, on a folder whose router was stopped."""
    bed.write(WHOLE)
    bed.code()
    bed.start()
    assert bed.stop() == 0
    import subprocess

    from tests.integration.bed import ROUTER

    target = routers()
    made = subprocess.Popen(
        [str(ROUTER), "backup", "-", "--data", str(bed.data)], stdout=subprocess.PIPE
    )
    done = subprocess.run(
        [str(ROUTER), "restore", "-", "--data", str(target.data)],
        stdin=made.stdout, capture_output=True, text=True, check=False,
    )  # fmt: skip
    made.stdout.close()
    assert made.wait() == 0
    assert done.returncode == 0, done.stderr
    before, after = (
        json.loads((folder / "identity.json").read_text()) for folder in (bed.data, target.data)
    )
    assert before == after
    assert not list(bed.data.glob(".backup-*"))
