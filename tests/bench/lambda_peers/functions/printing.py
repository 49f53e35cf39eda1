"""The same, with a line for the log."""


def handler(event, context):
    print("line")
    return {"statusCode": 200, "body": "ok"}
