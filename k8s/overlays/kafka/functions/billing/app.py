"""Charges orders, and names those it could not charge."""

import base64
import json


def handler(event, context):
    failures = []
    for partition, records in event["records"].items():
        for record in records:
            order = json.loads(base64.b64decode(record["value"]))
            if "cents" in order:
                print("charged", order["cents"], "cents")
            else:
                place = {"partition": partition, "offset": record["offset"]}
                failures.append({"itemIdentifier": place})
    return {"batchItemFailures": failures}
