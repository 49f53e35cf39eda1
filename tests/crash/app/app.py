"""Reports every record it sees to a collector, which answers before the handler goes on."""

import json
import os
import signal
import socket
import time

HOST, PORT = os.environ["COLLECTOR"].rsplit(":", 1)
connection = socket.create_connection((HOST, int(PORT))).makefile("rwb")


def report(**facts):
    connection.write(json.dumps({"pid": os.getpid(), **facts}).encode() + b"\n")
    connection.flush()
    answer = connection.readline()
    if answer == b"die\n":
        os.kill(os.getpid(), signal.SIGKILL)
    if answer == b"stop\n":
        os.kill(os.getpid(), signal.SIGSTOP)
    if answer == b"exit\n":
        os._exit(0)
    if answer == b"close\n":
        os.closerange(3, 64)
        time.sleep(60)


def handler(event, context):
    records = [
        {"seq": record["sequenceNumber"], "shard": record["eventID"].split(":")[0]}
        | json.loads(record["body"])
        for record in event["Records"]
    ]
    call = context.aws_request_id
    report(what="begin", call=call, records=records)
    for record in records:
        report(what="record", call=call, key=record["key"], n=record["n"])
        if record.get("poison"):
            raise ValueError("poison")
    time.sleep(0.005)
    report(what="end", call=call)
