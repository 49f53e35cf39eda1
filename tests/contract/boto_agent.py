"""Runs in the clients' virtual environment: calls boto3 as told by JSON lines on stdin."""

import base64
import datetime as dt
import functools
import json
import sys

import boto3
import botocore.config
import botocore.eventstream
import botocore.exceptions


def encode(value):
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, dt.datetime):
        return {"$time": value.timestamp()}
    if isinstance(value, botocore.eventstream.EventStream):
        return list(value)
    if hasattr(value, "read"):
        return encode(value.read())
    raise TypeError(type(value).__name__)


def decode(value):
    if set(value) == {"$bytes"}:
        return base64.b64decode(value["$bytes"])
    if set(value) == {"$time"}:
        return dt.datetime.fromtimestamp(value["$time"], dt.UTC)
    return value


@functools.cache
def make_client(service, validates):
    # Each case sees the first answer; nothing is retried behind its back. What the client
    # would refuse by itself goes out as well: the server is under test.
    config = botocore.config.Config(
        retries={"total_max_attempts": 1}, parameter_validation=validates
    )
    return boto3.client(service, config=config)


def call(request):
    service, operation = request["service"], request["operation"]
    client = make_client(service, request["validates"])
    try:
        if operation.startswith("wait:"):
            waiter = client.get_waiter(operation[5:])
            return {"ok": waiter.wait(**request["params"])}
        return {"ok": getattr(client, operation)(**request["params"])}
    except botocore.exceptions.ClientError as error:
        return {
            "error": {
                "class": type(error).__name__,
                "status": error.response["ResponseMetadata"]["HTTPStatusCode"],
                "headers": error.response["ResponseMetadata"]["HTTPHeaders"],
                "code": error.response["Error"].get("Code"),
                "message": error.response["Error"].get("Message"),
                "response": error.response,
            }
        }
    except Exception as error:
        return {"failure": f"{type(error).__name__}: {error}"}


for line in sys.stdin:
    answer = call(json.loads(line, object_hook=decode))
    sys.stdout.write(json.dumps(answer, default=encode) + "\n")
    sys.stdout.flush()
