"""Charges orders: those of one customer always in the order they were made."""

import base64
import json
import time


def handler(event, context):
    failures = []
    for partition, records in event["records"].items():
        for record in records:
            order = json.loads(base64.b64decode(record["value"]))
            try:
                charge(order)
            except Exception as error:
                print(f"cannot charge {order['id']}: {error!r}")
                failures.append(
                    {"itemIdentifier": {"partition": partition, "offset": record["offset"]}}
                )
    return {"batchItemFailures": failures}


def charge(order):
    cents = sum(line["count"] * line["cents"] for line in order["lines"])
    print(f"charged {order['id']} at {time.time():.6f}: {cents} cents")
