"""Deployment, monitoring and source code."""

import base64
import gzip
import json
from typing import Any

from router.cli.samples.parts import ACCOUNT, ID, REGION, TIME, TIME_MS


def custom_resource(
    request_type: str = "Create",
    resource_type: str = "Custom::Resource",
    logical_resource_id: str = "MyResource",
    response_url: str = "http://127.0.0.1:9/response",
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """A custom resource of a stack, answered by a PUT to the response's URL."""
    event: dict[str, Any] = {
        "RequestType": request_type,
        "ServiceToken": f"arn:aws:lambda:{region}:{account_id}:function:custom-resource",
        "ResponseURL": response_url,
        "StackId": f"arn:aws:cloudformation:{region}:{account_id}:stack/EXAMPLE/{ID}",
        "RequestId": ID,
        "LogicalResourceId": logical_resource_id,
        "ResourceType": resource_type,
        "ResourceProperties": {"StackName": "EXAMPLE", "List": ["1", "2", "3"]},
    }
    if request_type != "Create":
        event["PhysicalResourceId"] = "my-physical-id"
    if request_type == "Update":
        event["OldResourceProperties"] = {"StackName": "EXAMPLE", "List": ["1"]}
    return event


def log_subscription(
    message: str = "[ERROR] no such order",
    log_group: str = "/aws/lambda/orders",
    log_stream: str = "2026/01/01/[1]0123456789abcdef",
    account_id: str = ACCOUNT,
) -> Any:
    """Lines of a log group that a subscription filter let through."""
    document = {
        "messageType": "DATA_MESSAGE",
        "owner": account_id,
        "logGroup": log_group,
        "logStream": log_stream,
        "subscriptionFilters": ["errors"],
        "logEvents": [
            {
                "id": "39000000000000000000000000000000000000000000000000000001",
                "timestamp": TIME_MS,
                "message": message,
            }
        ],
    }
    data = gzip.compress(json.dumps(document).encode(), mtime=0)
    return {"awslogs": {"data": base64.b64encode(data).decode()}}


def alarm(
    name: str = "example-alarm",
    state: str = "ALARM",
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """An alarm changed its state."""
    metric = {
        "namespace": "AWS/Lambda",
        "name": "Errors",
        "dimensions": {"FunctionName": "my-function"},
    }
    return {
        "source": "aws.cloudwatch",
        "alarmArn": f"arn:aws:cloudwatch:{region}:{account_id}:alarm:{name}",
        "accountId": account_id,
        "time": "2026-01-01T00:00:00.000+0000",
        "region": region,
        "alarmData": {
            "alarmName": name,
            "state": {
                "value": state,
                "reason": "Threshold Crossed: 1 datapoint was greater than the threshold (0.0).",
                "reasonData": '{"version":"1.0","threshold":0.0}',
                "timestamp": "2026-01-01T00:00:00.000+0000",
            },
            "previousState": {
                "value": "OK",
                "reason": "Unchecked: Initial alarm creation",
                "timestamp": "2025-12-31T00:00:00.000+0000",
            },
            "configuration": {
                "description": "",
                "metrics": [
                    {
                        "id": "m1",
                        "metricStat": {"metric": metric, "period": 60, "stat": "Sum"},
                        "returnData": True,
                    }
                ],
            },
        },
    }


def repository(
    repository: str = "my-repository",
    branch: str = "main",
    commit: str = "0123456789abcdef0123456789abcdef01234567",
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """A branch of a repository moved."""
    return {
        "Records": [
            {
                "awsRegion": region,
                "codecommit": {"references": [{"commit": commit, "ref": f"refs/heads/{branch}"}]},
                "customData": "for my function",
                "eventId": ID,
                "eventName": "ReferenceChanges",
                "eventPartNumber": 1,
                "eventSource": "aws:codecommit",
                "eventSourceARN": f"arn:aws:codecommit:{region}:{account_id}:{repository}",
                "eventTime": "2026-01-01T00:00:00.000+0000",
                "eventTotalParts": 1,
                "eventTriggerConfigId": ID,
                "eventTriggerName": "my-trigger",
                "eventVersion": "1.0",
                "userIdentityARN": f"arn:aws:iam::{account_id}:user/example",
            }
        ]
    }


def pipeline_job(
    function: str = "my-function",
    user_parameters: str = "value=1",
    job_id: str = ID,
    account_id: str = ACCOUNT,
) -> Any:
    """A stage of a pipeline that invokes a function."""
    return {
        "CodePipeline.job": {
            "id": job_id,
            "accountId": account_id,
            "data": {
                "actionConfiguration": {
                    "configuration": {
                        "FunctionName": function,
                        "UserParameters": user_parameters,
                    }
                },
                "inputArtifacts": [],
                "outputArtifacts": [],
                "artifactCredentials": {
                    "accessKeyId": "AKIAEXAMPLE",
                    "secretAccessKey": "EXAMPLE",
                    "sessionToken": "EXAMPLE",
                },
            },
        }
    }


def config_rule(
    message_type: str = "ConfigurationItemChangeNotification",
    rule_name: str = "my-rule",
    resource_type: str = "AWS::EC2::Instance",
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """A rule is to be evaluated: for a changed item, an oversized one, or on schedule."""
    item = {
        "resourceType": resource_type,
        "resourceId": "i-00000000",
        "awsAccountId": account_id,
        "configurationItemStatus": "OK",
        "configurationItemCaptureTime": TIME,
    }
    name = {
        "ConfigurationItemChangeNotification": "configurationItem",
        "OversizedConfigurationItemChangeNotification": "configurationItemSummary",
    }.get(message_type)
    invoking: dict[str, Any] = {"awsAccountId": account_id, "notificationCreationTime": TIME}
    if name is not None:
        invoking[name] = item
    invoking["messageType"] = message_type
    return {
        "version": "1.0",
        "invokingEvent": json.dumps(invoking),
        "ruleParameters": json.dumps({"name": "value"}),
        "resultToken": "result-token",
        "eventLeftScope": False,
        "executionRoleArn": f"arn:aws:iam::{account_id}:role/config-role",
        "configRuleArn": f"arn:aws:config:{region}:{account_id}:config-rule/{rule_name}",
        "configRuleName": rule_name,
        "configRuleId": "config-rule-0123456",
        "accountId": account_id,
        "evaluationMode": "DETECTIVE",
    }
