"""What operators see: probes, metrics, logs; and what nobody may see."""

import json
import time
from pathlib import Path

from router.telemetry import metrics
from tests.cputime import cpu_s
from tests.integration.bed import (
    call,
    function,
    holds,
    mapping,
    queue,
    signed,
    template,
    to_queue,
    until,
    webhook,
)


def busy(bed):
    bed.write(
        template(webhook(), function(), mapping(MaximumRetryAttempts=1, **to_queue()), queue())
    )
    bed.code()
    bed.start()
    for n in range(6):
        assert bed.post("a", n).status == 202
    until(lambda: len(bed.ear.handled()) == 6)  # else the poison takes others with it
    assert bed.post("b", 0, poison=True).status == 202
    body = b"{}"
    assert call(bed.addresses["ingress"], "/in", body).status == 401
    until(lambda: bed.told("queues", "peek")[0]["Visible"] == 1)
    return bed


def test_metrics_tell_what_happened(bed):
    busy(bed)
    holds(lambda: told_by(bed.metrics(), bed))
    for name, samples in bed.metrics().items():
        declared_as_told(name, samples)


DECLARED = {
    family.facts.name + suffix: family.facts.labels
    for family in metrics.FAMILIES
    for suffix in (("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",))
}


def declared_as_told(name, samples):
    """Each label is declared, and its value one of the set it was declared with."""
    if name.startswith("process_"):
        assert [labels for labels, _value in samples] == [{}]
        return
    for labels, _value in samples:
        for label, value in labels.items():
            if label != "le":
                values = DECLARED[name][label]
                assert isinstance(values, str) or value in values, (name, label, value)


def told_by(m, bed):
    total = {name: sum(value for _, value in samples) for name, samples in m.items()}
    results = {
        labels["result"]: value for labels, value in m["router_webhook_requests_total"] if value
    }
    assert results.pop("accepted") == 7
    assert sum(results.values()) == 1
    assert total["router_mapping_records_polled_total"] == 7
    assert total["router_mapping_records_invoked_total"] == 8
    assert 0 <= total["router_mapping_iterator_age_seconds"] < 30
    assert total["router_mapping_lag_records"] == 0
    assert total["router_mapping_buffered_records"] == 0
    assert total["router_mapping_invocations_in_flight"] == 0
    assert total["router_mapping_retries_total"] == 1
    discards = {
        labels["condition"]: value for labels, value in m["router_mapping_records_discarded_total"]
    }
    assert discards["RetryAttemptsExhausted"] == 1
    assert discards["RecordAgeExceeded"] == 0
    assert total["router_function_cold_starts_total"] >= 1
    assert total["router_function_invocations_total"] >= 3
    assert total["router_concurrency_used"] == 0
    assert total["router_concurrency_limit"] >= 16
    assert total["router_event_loop_stall_seconds_count"] > 0
    assert 0 <= total["router_event_loop_stall_max_seconds"] < 60
    assert total["router_store_bytes"] > 0
    assert total["router_store_commit_duration_seconds_count"] > 0
    assert total["router_ready"] == 1
    assert total["router_isolation_info"] == 1
    info = m["router_mapping_info"][0][0]
    assert info["mapping"] == "Feed"
    assert info["uuid"] == bed.told("mappings", "list")[0]["UUID"]


def test_probes(bed):
    busy(bed)
    ops = bed.addresses["ops"]
    assert call(ops, "/live").json == {"live": True}
    ready = call(ops, "/ready")
    assert ready.status == 200
    assert ready.json == {"ready": True, "reasons": {}}
    assert call(ops, "/elsewhere").status == 404


def test_one_json_line_per_batch(bed):
    busy(bed)
    handled = bed.lines("batch_handled")
    calls = {facts["call"] for facts in bed.ear.heard if facts["what"] == "end"}
    assert {row["request_id"] for row in handled} == calls
    assert len(handled) == len(calls)
    for row in handled:
        assert row["mapping"] == "Feed"
        assert row["records"] >= 1
        assert row["attempt"] >= 1
        assert row["duration_ms"] >= 0
        assert row["shard"].startswith("shardId-")
    assert bed.lines("batch_failed")
    discarded = bed.lines("batch_discarded")
    assert sum(row["records"] for row in discarded) >= 1
    assert bed.stop() == 0
    for row in bed.lines():
        assert {"timestamp", "level", "event"} <= row.keys()
    assert bed.lines()[-1]["event"] in {"drained", "stopped"}


CANARIES = {
    "secret": "canary-SECRET-5d1f",
    "header": "canary-HEADER-77ab",
    "body": "canary-BODY-91c2",
    "variable": "canary-VARIABLE-0e4d",
    "query": "canary-QUERY-3333",
}

SPY = """
import os
def handler(event, context):
    if "poison" in str(event):
        raise ValueError("no detail")
    return {"ok": os.environ["HIDDEN"][:6]}
"""


def test_no_payload_header_secret_or_variable_shows_anywhere(bed):
    bed.environment |= {
        "ROUTER_SECRET_HOOK": CANARIES["secret"],
        "ROUTER_SECRET_VAR": CANARIES["variable"],
        "ROUTER_LOG_LEVEL": "debug",
    }
    text = template(webhook(), function(), mapping(MaximumRetryAttempts=0, **to_queue()), queue())
    text = text.replace("EAR: !Ref Ear", 'HIDDEN: "{{resolve:secretsmanager:var}}", EAR: !Ref Ear')
    bed.write(text)
    bed.code(SPY)
    bed.start()
    ingress, api = bed.addresses["ingress"], bed.addresses["api"]
    seen: list[bytes] = []

    def post(body: bytes, secret: str) -> int:
        headers = signed(body, secret) | {"X-Extra": CANARIES["header"], "Cookie": "x"}
        reply = call(ingress, f"/in?q={CANARIES['query']}", body, headers)
        seen.append(reply.body + str(reply.headers).encode())
        return reply.status

    body = json.dumps({"key": "a", "n": 0, "text": CANARIES["body"]}).encode()
    assert post(body, CANARIES["secret"]) == 202
    assert post(body.replace(b'"n"', b'"poison"'), CANARIES["secret"]) == 202
    assert post(body, "wrong") == 401
    assert post(b"not json " + CANARIES["body"].encode(), CANARIES["secret"]) == 400
    until(lambda: bed.told("queues", "peek")[0]["Visible"] == 1)
    name = bed.told("mappings", "list")[0]["FunctionName"]
    for path, sent in (
        ("/2015-03-31/functions/" + name, None),
        (f"/2015-03-31/functions/{name}/configuration", None),
        ("/2015-03-31/functions/nobody/invocations", body),
        ("/2015-03-31/event-source-mappings/", body),
    ):
        seen.append(call(api, path, sent).body)
    seen.append(call(bed.addresses["ops"], "/metrics").body)
    for words in (("mappings", "list"), ("doctor",), ("plan", str(bed.template))):
        done = bed.cli(*words)
        seen.append((done.stdout + done.stderr).encode())
    assert bed.process is not None
    for pid in (bed.process.pid, *bed.family()):
        try:
            seen.append(Path(f"/proc/{pid}/cmdline").read_bytes())
        except OSError:
            continue
    assert bed.stop() == 0
    seen.append(bed.log.read_bytes())
    # Stored by reference only; payloads and headers are in the store, as they must be.
    stored = b"".join(path.read_bytes() for path in bed.data.rglob("*.json")) + b"".join(
        path.read_bytes() for path in (bed.data / "logs").glob("*")
    )
    for what, canary in CANARIES.items():
        for text in (*seen, stored):
            assert canary.encode() not in text, (what, text[-2000:])
    database = (bed.data / "router.db").read_bytes()
    wal = bed.data / "router.db-wal"
    database += wal.read_bytes() if wal.exists() else b""
    assert CANARIES["secret"].encode() not in database
    assert CANARIES["variable"].encode() not in database


IDLE_BYTES_MAX = 60 << 20


def test_an_idle_router_is_small(bed):
    bed.start(with_template=False)
    time.sleep(1)
    assert bed.process is not None
    status = Path(f"/proc/{bed.process.pid}/status").read_text()
    rss_kib = next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmRSS"))
    print(f"idle RSS {rss_kib / 1024:.1f} MiB")
    assert rss_kib * 1024 <= IDLE_BYTES_MAX


def test_an_idle_router_sleeps(bed):
    busy(bed)
    assert bed.process is not None
    time.sleep(0.5)
    shares = []
    while not shares or (shares[-1] >= 0.08 and len(shares) < 5):  # it may end something yet
        before, began = cpu_s(bed.process.pid), time.monotonic()
        time.sleep(2)
        shares.append((cpu_s(bed.process.pid) - before) / (time.monotonic() - began))
    assert shares[-1] < 0.08, f"{shares} of a CPU while idle"
