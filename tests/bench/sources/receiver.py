"""The other receivers: `receiver.py aiobotocore|boto3`, one loop that receives and deletes tens."""

import os
import sys

import work

URL, QUEUE = os.environ["SQS"], os.environ["QUEUE"]
CLIENT = {
    "endpoint_url": URL,
    "region_name": "us-east-1",
    "aws_access_key_id": "key",
    "aws_secret_access_key": "secret",
}
RECEIVE = {"QueueUrl": QUEUE, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1}


def deletion(messages):
    entries = [
        {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
        for index, message in enumerate(messages)
    ]
    return {"QueueUrl": QUEUE, "Entries": entries}


async def aiobotocore():
    """Counts; parses nothing."""
    from aiobotocore.session import get_session

    async with get_session().create_client("sqs", **CLIENT) as sqs:
        while True:
            if messages := (await sqs.receive_message(**RECEIVE)).get("Messages"):
                await sqs.delete_message_batch(**deletion(messages))
                work.tell(len(messages))


def boto3():
    """Handles: one thread, the handler in process."""
    import boto3

    sqs = boto3.client("sqs", **CLIENT)
    while True:
        if messages := sqs.receive_message(**RECEIVE).get("Messages"):
            work.handle([message["Body"] for message in messages])
            sqs.delete_message_batch(**deletion(messages))


if __name__ == "__main__":
    if sys.argv[1] == "boto3":
        boto3()
    else:
        import uvloop

        uvloop.run(aiobotocore())
