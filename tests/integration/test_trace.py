"""`router trace` on a real router: what was recorded is decided again, and holds nothing secret."""

from tests.integration.bed import (
    SECRET,
    assert_in_order,
    function,
    mapping,
    template,
    until,
    webhook,
)


def test_a_running_mapping_is_recorded_and_replays(bed):
    settings = {"BatchSize": 5, "ParallelizationFactor": 2}
    bed.write(template(webhook(shards=2), function(), mapping(**settings)))
    bed.code()
    bed.start()
    name = bed.told("mappings", "list")[0]["Name"]
    with bed.traffic(keys=6, pause_s=0.02) as traffic:
        until(lambda: len(bed.ear.handled()) > 20)
        found = bed.cli("trace", "--mapping", name, "--seconds", "2")
    assert found.returncode == 0, found.stderr
    assert len(found.stdout.splitlines()) > 20
    for secret in ("/in", "arn:aws", SECRET, '"k1"', "partitionKey", "body"):
        assert secret not in found.stdout

    path = bed.folder / "trace.jsonl"
    path.write_text(found.stdout)
    again = bed.cli("trace", "--replay", str(path), has_data=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "the same decisions" in again.stdout

    until(lambda: set(traffic.accepted) <= set(bed.ear.handled()))
    assert len(bed.ear.handled()) == len(set(bed.ear.handled()))
    assert_in_order(bed.ear.handled())


def test_a_mapping_that_does_not_run_cannot_be_recorded(bed):
    bed.write(template(webhook(), function(), mapping(Enabled=False)))
    bed.code()
    bed.start()
    name = bed.told("mappings", "list")[0]["Name"]
    refused = bed.cli("trace", "--mapping", name, "--seconds", "1")
    assert refused.returncode == 1
    assert "only a mapping that is enabled can be traced" in refused.stderr
    neither = bed.cli("trace")
    assert neither.returncode == 2
    assert "--mapping" in neither.stderr
