"""Greets whoever a webhook names."""

import json


def handler(event, context):
    for record in event["Records"]:
        print("hello,", json.loads(record["body"])["name"])
