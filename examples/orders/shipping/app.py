"""Ships orders: those of one customer always in the order they were made."""

import json
import time


def handler(event, context):
    for record in event["Records"]:
        shipment = json.loads(record["body"])
        if not shipment["address"]:
            raise ValueError(f"cannot ship {shipment['id']}: no address")
        print(f"shipped {shipment['id']} at {time.time():.6f}")
