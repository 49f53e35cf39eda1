"""Counts GitHub events in windows: how many of each kind a repository had."""

import json
import time


def handler(event, context):
    counts = event["state"]
    for record in event["Records"]:
        delivery = record["headers"]["x-github-delivery"]
        payload = json.loads(record["body"])
        if payload.get("poison"):
            raise ValueError(f"cannot handle {delivery}")
        key = payload["repository"]["full_name"] + " " + record["headers"]["x-github-event"]
        counts[key] = counts.get(key, 0) + 1
        print(f"handled {delivery} at {time.time():.6f}")
    if event["isFinalInvokeForWindow"] or event["isWindowTerminatedEarly"]:
        total = {"shard": event["shardId"], **event["window"], "counts": counts}
        print("window " + json.dumps(total))
    return {"state": counts}
