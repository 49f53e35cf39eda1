"""Gets GitHub events in batches: those of one repository always in the order they arrived."""

import json
import time


def handler(event, context):
    for record in event["Records"]:
        delivery = record["headers"]["x-github-delivery"]
        payload = json.loads(record["body"])
        if payload.get("poison"):
            raise ValueError(f"cannot handle {delivery}")
        print(f"handled {delivery} at {time.time():.6f}")
