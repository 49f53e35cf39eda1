"""A store that fills up: refused with 503 before memory grows, and well again afterwards (L2)."""

import http.client
import json
import threading
import time
import urllib.parse
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.bed import WAIT_S, Bed, function, mapping, signed, template, until, webhook
from tests.sizes import size, sized

SOAK_S = size(10.0, 60.0)
"""From the first refusal on."""

CAP_BYTES = 8 << 20
BODY_BYTES = 4_000
GROWTH_BYTES_MAX = 48 << 20


class Flood:
    """Posts as fast as it is answered, never waiting as told."""

    def __init__(self, bed: Bed, path: str) -> None:
        self.bed, self.path = bed, path
        self.statuses: Counter[int] = Counter()
        self.retry_after: set[str] = set()
        self.is_over = threading.Event()

    def run(self, key: str) -> None:
        target = urllib.parse.urlsplit(self.bed.addresses["ingress"])
        line = http.client.HTTPConnection(target.netloc, timeout=WAIT_S)
        n = 0
        try:
            while not self.is_over.is_set():
                body = json.dumps({"key": key, "n": n, "fill": "x" * BODY_BYTES}).encode()
                line.request("POST", self.path, body, signed(body))
                answer = line.getresponse()
                answer.read()
                self.statuses[answer.status] += 1
                if answer.status == 503:
                    self.retry_after.add(answer.headers.get("Retry-After", ""))
                n += 1
        finally:
            line.close()


def rss_bytes(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * 4096


@pytest.mark.slow
@sized(500, 600)
def test_a_full_store_answers_503_before_memory_grows_and_recovers(bed):
    text = template(
        webhook("Slow", "/slow"),
        webhook("Fast", "/fast"),
        function("Sleeper", timeout=30),
        function("Worker"),
        mapping("S", "Slow", "Sleeper", BatchSize=10),
        mapping("F", "Fast", "Worker", BatchSize=100),
    ).replace("      Shards: 1\n", "      Shards: 1\n      RetentionSeconds: 60\n")
    bed.write(text)
    bed.code()
    bed.environment |= {"ROUTER_STORE_BYTES_MAX": str(CAP_BYTES), "ROUTER_LOG_LEVEL": "warning"}
    bed.ear.answer = lambda facts: (
        time.sleep(1) or "ok" if "Sleeper" in facts.get("function", "") else "ok"
    )
    bed.start()
    assert bed.process is not None
    began_bytes = rss_bytes(bed.process.pid)
    flood = Flood(bed, "/slow")
    most_bytes = 0
    with ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(flood.run, f"k{number}") for number in range(8)]
        try:
            until(lambda: flood.statuses[503], what="a store that is full")
            end = time.monotonic() + SOAK_S
            while time.monotonic() < end:
                most_bytes = max(most_bytes, rss_bytes(bed.process.pid))
                time.sleep(0.1)
        finally:
            flood.is_over.set()
        for run in runs:
            run.result()
    print(f"answers {dict(flood.statuses)}, grew by {(most_bytes - began_bytes) >> 20} MiB")
    assert flood.statuses.keys() == {202, 503}
    assert flood.statuses[202] * BODY_BYTES < 2 * CAP_BYTES
    assert all(text.isdigit() and int(text) >= 1 for text in flood.retry_after)
    assert most_bytes - began_bytes < GROWTH_BYTES_MAX
    assert bed.metric("router_store_bytes") < 3 * CAP_BYTES
    # Retention makes room; then records are taken again, nobody having done anything.
    until(lambda: bed.post("after", 0, "/fast").status == 202, 300, "room in the store")
    until(lambda: ("after", 0) in bed.ear.handled())
    assert bed.stop() == 0
