"""The function under test: nothing but an answer."""


def handler(event, context):
    return {"statusCode": 200, "body": "ok"}
