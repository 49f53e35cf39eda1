"""What every side does with its records: parse each, then tell how many. Standard library only."""

import base64
import json
import os
import socket
import time

HOST, PORT = os.environ["COLLECTOR"].rsplit(":", 1)
PAUSE_S = float(os.environ.get("PAUSE_S", "0"))
"""How long a record takes beside its parsing."""

link = socket.create_connection((HOST, int(PORT)))
link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def tell(count):
    link.sendall(b"%d\n" % count)


def handle(values):
    """The handler itself: the baselines call it in their own process."""
    for value in values:
        json.loads(value)
        if PAUSE_S:
            time.sleep(PAUSE_S)
    tell(len(values))


def kafka(event, context):
    (records,) = event["records"].values()
    handle([base64.b64decode(record["value"]) for record in records])


def queue(event, context):
    handle([record["body"] for record in event["Records"]])


def picked_up(event, context):
    """Tells of each message how many microseconds ago it was sent."""
    now_ns = time.time_ns()
    for record in (one for part in event["records"].values() for one in part):
        sent_ns = json.loads(base64.b64decode(record["value"]))["sent_ns"]
        tell((now_ns - sent_ns) // 1_000)


def sleep(event, context):
    time.sleep(3)
