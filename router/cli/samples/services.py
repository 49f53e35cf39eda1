"""Storage, mail, users and devices."""

from typing import Any
from urllib.parse import quote_plus

from router.cli.samples.parts import ACCOUNT, ADDRESS, ID, REGION, TIME

ETAG = "0123456789abcdef0123456789abcdef"
SEQUENCER = "0A1B2C3D4E5F678901"


def object_created(
    bucket: str = "example-bucket",
    key: str = "test/key",
    size: int = 1024,
    etag: str = ETAG,
    region: str = REGION,
) -> Any:
    """An object was put; its key is URL-encoded."""
    parts = {"key": quote_plus(key, safe="/"), "size": size, "eTag": etag, "sequencer": SEQUENCER}
    return _bucket("ObjectCreated:Put", bucket, parts, region)


def object_removed(
    bucket: str = "example-bucket", key: str = "test/key", region: str = REGION
) -> Any:
    """An object was deleted."""
    parts = {"key": quote_plus(key, safe="/"), "sequencer": SEQUENCER}
    return _bucket("ObjectRemoved:Delete", bucket, parts, region)


def _bucket(name: str, bucket: str, item: dict[str, Any], region: str) -> Any:
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": region,
                "eventTime": TIME,
                "eventName": name,
                "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
                "requestParameters": {"sourceIPAddress": ADDRESS},
                "responseElements": {
                    "x-amz-request-id": "EXAMPLE123456789",
                    "x-amz-id-2": "EXAMPLE/0123456789+abcdefghijklmnopqrstuvwxyz=",
                },
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "my-notification",
                    "bucket": {
                        "name": bucket,
                        "ownerIdentity": {"principalId": "EXAMPLE"},
                        "arn": f"arn:aws:s3:::{bucket}",
                    },
                    "object": item,
                },
            }
        ]
    }


def bucket_test(bucket: str = "example-bucket") -> Any:
    """What a bucket sends when notifications are set up."""
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": TIME,
        "Bucket": bucket,
        "RequestId": "EXAMPLE123456789",
        "HostId": "EXAMPLE/0123456789+abcdefghijklmnopqrstuvwxyz=",
    }


def bus_object_created(
    bucket: str = "example-bucket",
    key: str = "test/key",
    size: int = 1024,
    etag: str = ETAG,
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """An object was put, by way of the bus; its key is as it is."""
    return {
        "version": "0",
        "id": ID,
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": account_id,
        "time": "2026-01-01T00:00:00Z",
        "region": region,
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, "size": size, "etag": etag, "sequencer": SEQUENCER},
            "request-id": "EXAMPLE123456789",
            "requester": account_id,
            "source-ip-address": ADDRESS,
            "reason": "PutObject",
        },
    }


def mail_receipt(
    source: str = "sender@example.com",
    destination: str = "receiver@example.com",
    subject: str = "An order",
    function: str = "my-function",
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """A mail was received."""
    date = "Thu, 1 Jan 2026 00:00:00 +0000"
    verdicts = {
        f"{name}Verdict": {"status": "PASS"} for name in ("spam", "virus", "spf", "dkim", "dmarc")
    }
    headers = {"From": source, "To": destination, "Subject": subject, "Date": date}
    return {
        "Records": [
            {
                "eventSource": "aws:ses",
                "eventVersion": "1.0",
                "ses": {
                    "mail": {
                        "timestamp": TIME,
                        "source": source,
                        "messageId": "example0message0id",
                        "destination": [destination],
                        "headersTruncated": False,
                        "headers": [
                            {"name": name, "value": value} for name, value in headers.items()
                        ],
                        "commonHeaders": {
                            "returnPath": source,
                            "from": [source],
                            "date": date,
                            "to": [destination],
                            "messageId": "<0123456789@example.com>",
                            "subject": subject,
                        },
                    },
                    "receipt": {
                        "timestamp": TIME,
                        "processingTimeMillis": 574,
                        "recipients": [destination],
                        **verdicts,
                        "dmarcPolicy": "reject",
                        "action": {
                            "type": "Lambda",
                            "functionArn": (
                                f"arn:aws:lambda:{region}:{account_id}:function:{function}"
                            ),
                            "invocationType": "Event",
                        },
                    },
                },
            }
        ]
    }


def user_pool(
    trigger: str = "PreSignUp_SignUp",
    user_name: str = "example-user",
    email: str = "user@example.com",
    user_pool_id: str = "us-east-1_example",
    region: str = REGION,
) -> Any:
    """A trigger of a user pool, which gets the event back."""
    return {
        "version": "1",
        "triggerSource": trigger,
        "region": region,
        "userPoolId": user_pool_id,
        "userName": user_name,
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": "example"},
        "request": {"userAttributes": {"email": email}, "validationData": {}},
        "response": {
            "autoConfirmUser": False,
            "autoVerifyEmail": False,
            "autoVerifyPhone": False,
        },
    }


def iot_rule(temperature: float = 21.5, topic: str = "dev/1") -> Any:
    """What the SQL of a rule selects."""
    return {"temperature": temperature, "topic": topic}
