"""Templates that must not load: each problem names resource, property, line and a way out."""

import textwrap

import pytest

HOOK = """\
Resources:
  Hook:
    Type: Router::Webhook
    Properties:
      Path: /h
      Signature: {Scheme: none}
"""

FUNCTION = """\
Resources:
  Save:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.12
      Handler: app.handler
      Role: arn:aws:iam::000000000000:role/x
      Code: ./code
"""

SAM = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  Save:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: app.handler
      CodeUri: ./code
"""

MAPPING = (
    FUNCTION
    + HOOK.removeprefix("Resources:\n")
    + """\
  Map:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: !Ref Save
      EventSourceArn: !GetAtt Hook.Arn
"""
)


ACCESS = "SourceAccessConfigurations: [{Type: BASIC_AUTH, URI: s}]"


def kafka(*lines: str) -> str:
    """A mapping of self-managed Kafka with more settings."""
    servers = "{Endpoints: {KafkaBootstrapServers: ['b-1:9092']}}"
    source = f"SelfManagedEventSource:\n        {servers}"
    text = MAPPING.replace("EventSourceArn: !GetAtt Hook.Arn", source)
    return text + "".join(f"      {line}\n" for line in lines)


QUEUE = """\
Resources:
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
"""


def below(text: str, *lines: str) -> str:
    return text + "".join(f"      {line}\n" for line in lines)


SIX_FILTERS = [f'{{Pattern: \'{{"path": ["/{n}"]}}\'}}' for n in range(6)]

CASES = {
    # Function
    "misspelt property": (below(FUNCTION, "Tiemout: 3"), "Save", "Tiemout", 9, "mean Timeout?"),
    "timeout range": (below(FUNCTION, "Timeout: 901"), "Save", "Timeout", 9, "between 1 and 900"),
    "memory range": (below(FUNCTION, "MemorySize: 64"), "Save", "MemorySize", 9, "between 128"),
    "not a number": (below(FUNCTION, "Timeout: soon"), "Save", "Timeout", 9, "whole number"),
    "reserved variable": (
        below(FUNCTION, "Environment:", "  Variables:", "    AWS_REGION: x"),
        "Save",
        "Environment.Variables.AWS_REGION",
        11,
        "reserved",
    ),
    "variable name": (
        below(FUNCTION, "Environment: {Variables: {1a: x}}"),
        "Save",
        "Environment.Variables.1a",
        9,
        "no name",
    ),
    "environment size": (
        below(FUNCTION, "Environment:", f"  Variables: {{BIG: {'x' * 4097}}}"),
        "Save",
        "Environment.Variables",
        10,
        "more than 4096",
    ),
    "environment null": (
        below(FUNCTION, "Environment:", "  Variables:", "    A1:"),
        "Save",
        "Environment.Variables.A1",
        11,
        "has no value",
    ),
    "loops": (
        below(FUNCTION, "RecursiveLoop: Never"),
        "Save",
        "RecursiveLoop",
        9,
        "Terminate, Allow",
    ),
    "runtime management without its member": (
        below(FUNCTION, "RuntimeManagementConfig: {UpdateRuntimeOn: Manual}"),
        "Save",
        "RuntimeManagementConfig.RuntimeVersionArn",
        9,
        "belongs to UpdateRuntimeOn Manual",
    ),
    "runtime unknown": (
        FUNCTION.replace("python3.12", "python4"),
        "Save",
        "Runtime",
        5,
        "unknown runtime 'python4' (supported: python3.8",
    ),
    "runtime retired": (
        FUNCTION.replace("python3.12", "nodejs14.x"),
        "Save",
        "Runtime",
        5,
        "nodejs14.x is retired",
    ),
    "runtime of one's own": (
        FUNCTION.replace("python3.12", "custom"),
        "Save",
        "Runtime",
        5,
        "custom is not run here",
    ),
    "no handler": (
        FUNCTION.replace("      Handler: app.handler\n", ""),
        "Save",
        "Handler",
        4,
        "is required",
    ),
    "missing folder": (
        FUNCTION.replace("./code", "./nowhere"),
        "Save",
        "Code",
        8,
        "./nowhere does not exist",
    ),
    "missing folder in SAM": (
        SAM.replace("./code", "./nowhere"),
        "Save",
        "Code",
        8,
        "./nowhere does not exist",
    ),
    "code is a file": (
        FUNCTION.replace("./code", "./code/app.py"),
        "Save",
        "Code",
        8,
        "not a folder",
    ),
    "code that no folder can be": (
        FUNCTION.replace("./code", '"./co\\0de"'),
        "Save",
        "Code",
        8,
        "is no path",
    ),
    "code in S3": (
        FUNCTION.replace("./code", "{S3Bucket: b, S3Key: k}"),
        "Save",
        "Code",
        8,
        "local folder or inline",
    ),
    "container image": (
        below(FUNCTION, "PackageType: Image")
        .replace("./code", "{ImageUri: registry.example/app}")
        .replace("      Handler: app.handler\n", ""),
        "Save",
        "Runtime",
        5,
        "is not for a function of PackageType Image",
    ),
    "layers": (
        below(FUNCTION, "Layers: [x]"),
        "Save",
        "Layers",
        9,
        "'x' is not the ARN of a layer version",
    ),
    "inline handler": (
        FUNCTION.replace("./code", "{ZipFile: x}"),
        "Save",
        "Handler",
        6,
        "such as index.handler",
    ),
    "role": (FUNCTION.replace("arn:aws:iam", "arn:aws:sts"), "Save", "Role", 7, "does not match"),
    # SAM
    "SAM property": (below(SAM, "Handlr: x"), "Save", "Handlr", 9, "did you mean Handler?"),
    "SAM timeout": (below(SAM, "Timeout: 1000"), "Save", "Timeout", 9, "between 1 and 900"),
    "SAM globals": (
        SAM + "Globals:\n  Function:\n    MemorySize: 1\n",
        "Save",
        "MemorySize",
        11,
        "between 128",
    ),
    "SAM event": (
        below(SAM, "Events:", "  Push:", "    Type: Schedule"),
        "Save",
        "Events.Push.Type",
        11,
        "events of type Schedule are not supported yet",
    ),
    "SAM event property": (
        below(SAM, "Events:", "  Push:", "    Type: SQS", "    Properties: {Queu: x}"),
        "Save",
        "Events.Push.Properties.Queu",
        12,
        "not defined",
    ),
    "SAM event source": (
        below(
            SAM,
            "Events:",
            "  Push:",
            "    Type: Kinesis",
            "    Properties:",
            "      StartingPosition: LATEST",
            "      Stream: arn:aws:kinesis:us-east-1:000000000000:stream/s",
        ),
        "SavePush",
        "EventSourceArn",
        12,
        "Kinesis event source mappings are not supported by this version of Event Router yet",
    ),
    "SAM function URL": (
        below(SAM, "FunctionUrlConfig: {AuthType: NONE, Cors: {AllowMethods: [get]}}"),
        "SaveUrl",
        "Cors.AllowMethods[0]",
        9,
        "'get' is not one of",
    ),
    "SAM wrong form": (
        below(SAM, "AutoPublishAlias: [a]"),
        "Save",
        "AutoPublishAlias",
        9,
        "is invalid",
    ),
    "SAM no code": (
        SAM.replace("      CodeUri: ./code\n", ""),
        "Save",
        "CodeUri",
        5,
        "CodeUri: ./folder, or InlineCode",
    ),
    "SAM code in S3": (
        SAM.replace("./code", "s3://bucket/key"),
        "Save",
        "Code",
        8,
        "only code in a local folder",
    ),
    "globals property": (
        SAM + "Globals:\n  Function:\n    Tiemout: 3\n",
        "Function",
        "Tiemout",
        11,
        "did you mean Timeout?",
    ),
    "globals section": (
        SAM + "Globals:\n  Functon:\n    Timeout: 3\n",
        "Functon",
        "",
        10,
        "did you mean Function?",
    ),
    "SAM without transform": (
        SAM.partition("\n")[2],
        "Save",
        "Type",
        3,
        "Transform: AWS::Serverless-2016-10-31",
    ),
    # Mapping
    "mapping source": (
        below(MAPPING, "StartingPosition: LATEST").replace(
            "!GetAtt Hook.Arn", "arn:aws:kinesis:us-east-1:000000000000:stream/s"
        ),
        "Map",
        "EventSourceArn",
        18,
        "Kinesis event source mappings are not supported by this version of Event Router yet",
    ),
    "mapping source of no kind": (
        MAPPING.replace("!GetAtt Hook.Arn", "arn:aws:s3:::bucket"),
        "Map",
        "EventSourceArn",
        18,
        "is not an event source (use !GetAtt of a Router::Webhook or an AWS::SQS::Queue",
    ),
    "required setting": (
        MAPPING.replace("!GetAtt Hook.Arn", "arn:aws:kinesis:us-east-1:000000000000:stream/s"),
        "Map",
        "StartingPosition",
        16,
        "Value null at 'startingPosition'",
    ),
    "setting of another kind of source": (
        below(MAPPING, "ScalingConfig: {MaximumConcurrency: 2}"),
        "Map",
        "ScalingConfig",
        19,
        "Unsupported 'scalingConfig' parameter for given event source mapping type",
    ),
    "range in a block": (
        below(MAPPING, "ScalingConfig: {MaximumConcurrency: 1}"),
        "Map",
        "ScalingConfig.MaximumConcurrency",
        19,
        "1 is not between 2 and 1000",
    ),
    "misspelt member of a block": (
        below(MAPPING, "MetricsConfig: {Metric: [EventCount]}"),
        "Map",
        "MetricsConfig.Metric",
        19,
        "unknown property of MetricsConfig (did you mean Metrics?",
    ),
    "metric of another kind of source": (
        below(MAPPING, "MetricsConfig: {Metrics: [KafkaMetrics]}"),
        "Map",
        "MetricsConfig.Metrics",
        19,
        "Unsupported 'metricsConfig' parameter",
    ),
    "key for filters": (
        below(MAPPING, "KmsKeyArn: arn:aws:kms:us-east-1:000000000000:key/k"),
        "Map",
        "KmsKeyArn",
        19,
        "Filter criteria encrypted with a KMS key are not supported by this version",
    ),
    "Kafka without a topic": (
        kafka(ACCESS),
        "Map",
        "Topics",
        16,
        "Required 'topics' parameter is missing.",
    ),
    "Kafka without a way in": (
        kafka("Topics: [orders]"),
        "Map",
        "SourceAccessConfigurations",
        16,
        "Required 'sourceAccessConfigurations' parameter is missing.",
    ),
    "Kafka topic that cannot be": (
        kafka("Topics: [.x]", ACCESS),
        "Map",
        "Topics",
        20,
        "'.x' does not match",
    ),
    "Kafka server without a port": (
        kafka("Topics: [orders]", ACCESS).replace("b-1:9092", "b-1"),
        "Map",
        "SelfManagedEventSource.Endpoints.KafkaBootstrapServers",
        19,
        "'b-1' does not match",
    ),
    "Kafka access for brokers of messages": (
        kafka(
            "Topics: [orders]",
            "SourceAccessConfigurations:",
            "  - {Type: BASIC_AUTH, URI: s}",
            "  - {Type: VIRTUAL_HOST, URI: /}",
        ),
        "Map",
        "SourceAccessConfigurations[1].Type",
        23,
        "Invalid parameters: VIRTUAL_HOST",
    ),
    "Kafka retries on demand": (
        kafka(
            "Topics: [orders]",
            ACCESS,
            "MaximumRetryAttempts: 3",
        ),
        "Map",
        "MaximumRetryAttempts",
        22,
        "Kafka mappings take it in provisioned mode only (ProvisionedPollerConfig)",
    ),
    "no source": (
        MAPPING.replace("      EventSourceArn: !GetAtt Hook.Arn\n", ""),
        "Map",
        "EventSourceArn",
        16,
        "is required",
    ),
    "other region": (
        MAPPING.replace("!GetAtt Hook.Arn", "arn:aws:router:mars-1:000000000000:webhook/x"),
        "Map",
        "EventSourceArn",
        18,
        "not of this region",
    ),
    "batch size": (below(MAPPING, "BatchSize: 0"), "Map", "BatchSize", 19, "1 and 10000"),
    "window": (
        below(MAPPING, "MaximumBatchingWindowInSeconds: 301"),
        "Map",
        "MaximumBatchingWindowInSeconds",
        19,
        "0 and 300",
    ),
    "factor": (
        below(MAPPING, "ParallelizationFactor: 11"),
        "Map",
        "ParallelizationFactor",
        19,
        "less than or equal to 10",
    ),
    "record age": (
        below(MAPPING, "MaximumRecordAgeInSeconds: 59"),
        "Map",
        "MaximumRecordAgeInSeconds",
        19,
        "either -1 (forever) or between 60 and 604800",
    ),
    "response type": (
        below(MAPPING, "FunctionResponseTypes: [ReportBatchItemFailure]"),
        "Map",
        "FunctionResponseTypes[0]",
        19,
        "did you mean ReportBatchItemFailures?",
    ),
    "filter that is no pattern": (
        below(MAPPING, "FilterCriteria:", "  Filters:", '    - Pattern: \'{"path": "/a"}\''),
        "Map",
        "FilterCriteria.Filters[0].Pattern",
        21,
        'is not a filter pattern: "path" must be an object or an array',
    ),
    "filter on a body as text": (
        below(MAPPING, 'FilterCriteria: {Filters: [{Pattern: \'{"body": ["ping"]}\'}]}'),
        "Map",
        "FilterCriteria.Filters[0].Pattern",
        19,
        '"body" must be an object: it is matched as JSON only',
    ),
    "filter that is no text": (
        below(MAPPING, "FilterCriteria: {Filters: [{Pattern: {path: [/a]}}]}"),
        "Map",
        "FilterCriteria.Filters[0].Pattern",
        19,
        "write the pattern as JSON in a text",
    ),
    "filter without a pattern": (
        below(MAPPING, "FilterCriteria: {Filters: [{}]}"),
        "Map",
        "FilterCriteria.Filters[0].Pattern",
        19,
        "is required",
    ),
    "six filters": (
        below(MAPPING, f"FilterCriteria: {{Filters: [{', '.join(SIX_FILTERS)}]}}"),
        "Map",
        "FilterCriteria.Filters",
        19,
        "exceed the limit of 5 filters",
    ),
    "tumbling window": (
        below(MAPPING, "TumblingWindowInSeconds: 901"),
        "Map",
        "TumblingWindowInSeconds",
        19,
        "901",
    ),
    "on success": (
        below(MAPPING, "DestinationConfig: {OnSuccess: {Destination: x}}"),
        "Map",
        "DestinationConfig.OnSuccess",
        19,
        "Unsupported DestinationConfig parameter",
    ),
    "destination": (
        below(MAPPING, "DestinationConfig:", "  OnFailure: {Destination: arn:aws:s3:::bucket/key}"),
        "Map",
        "DestinationConfig.OnFailure.Destination",
        20,
        "give the ARN of an SQS queue, an SNS topic, an S3 bucket or a Lambda function",
    ),
    "destination elsewhere": (
        below(
            MAPPING,
            "DestinationConfig:",
            "  OnFailure: {Destination: 'arn:aws:lambda:eu-west-1:000000000000:function:f'}",
        ),
        "Map",
        "DestinationConfig.OnFailure.Destination",
        20,
        "is not of this region and account",
    ),
    "destination topic": (
        below(MAPPING, "DestinationConfig:", "  OnFailure: {Destination: 'kafka://failed'}"),
        "Map",
        "DestinationConfig.OnFailure.Destination",
        20,
        "Unsupported DestinationConfig parameter",
    ),
    "starting position": (
        below(MAPPING, "StartingPosition: NOW"),
        "Map",
        "StartingPosition",
        19,
        "'NOW' is not one of TRIM_HORIZON, LATEST, AT_TIMESTAMP",
    ),
    "timestamp": (
        below(MAPPING, "StartingPosition: AT_TIMESTAMP"),
        "Map",
        "StartingPositionTimestamp",
        16,
        "Need to specify a timestamp",
    ),
    "qualifier": (
        MAPPING.replace("FunctionName: !Ref Save", "FunctionName: !Sub '${Save}:live'"),
        "Map",
        "FunctionName",
        17,
        "no version or alias live",
    ),
    # Queue
    "fifo name": (below(QUEUE, "QueueName: a.fifo"), "Jobs", "QueueName", 5, "add FifoQueue"),
    "fifo without its name": (
        below(QUEUE, "FifoQueue: true", "QueueName: a"),
        "Jobs",
        "QueueName",
        6,
        "does not match",
    ),
    "fifo property": (
        below(QUEUE, "DeduplicationScope: queue"),
        "Jobs",
        "DeduplicationScope",
        5,
        "is for FIFO queues",
    ),
    "throughput": (
        below(QUEUE, "FifoQueue: true", "FifoThroughputLimit: perMessageGroupId"),
        "Jobs",
        "FifoThroughputLimit",
        6,
        "add DeduplicationScope: messageGroup",
    ),
    "redrive allowed": (
        below(QUEUE, "RedriveAllowPolicy: {redrivePermission: byQueue}"),
        "Jobs",
        "RedriveAllowPolicy",
        5,
        "byQueue needs sourceQueueArns",
    ),
    "two encryptions": (
        below(QUEUE, "KmsMasterKeyId: k", "SqsManagedSseEnabled: true"),
        "Jobs",
        "SqsManagedSseEnabled",
        6,
        "beside KmsMasterKeyId",
    ),
    "visibility": (
        below(QUEUE, "VisibilityTimeout: 50000"),
        "Jobs",
        "VisibilityTimeout",
        5,
        "0 and 43200",
    ),
    "redrive": (
        below(QUEUE, "RedrivePolicy: {maxReceiveCount: 3}"),
        "Jobs",
        "RedrivePolicy.deadLetterTargetArn",
        5,
        "is required",
    ),
    # Webhook
    "webhook property": (below(HOOK, "Shard: 4"), "Hook", "Shard", 7, "did you mean Shards?"),
    "webhook path": (HOOK.replace("/h", "h?x"), "Hook", "Path", 5, "does not match"),
    "scheme": (HOOK.replace("none", "githup"), "Hook", "Signature.Scheme", 6, "mean github?"),
    "scheme that is a format": (
        HOOK.replace("none", "cloudevents"),
        "Hook",
        "Signature.Scheme",
        6,
        "Format: CloudEvents, Scheme: bearer",
    ),
    "tolerance without a timestamp": (
        HOOK.replace("none", "shopify, Secret: a, ToleranceSeconds: 5"),
        "Hook",
        "Signature.ToleranceSeconds",
        6,
        "not to shopify",
    ),
    "twilio without its URL": (
        HOOK.replace("none", "twilio, Secret: a"),
        "Hook",
        "Signature.PublicUrl",
        6,
        "the URL as Twilio has it",
    ),
    "malformed URL": (
        HOOK.replace("none", "twilio, Secret: a, PublicUrl: 'https://x/?a'"),
        "Hook",
        "Signature.PublicUrl",
        6,
        "without a query",
    ),
    "malformed secrets": (
        HOOK.replace("none", "svix, Secrets: [whpk_AAAA]"),
        "Hook",
        "Signature.Secrets",
        6,
        "Ed25519",
    ),
    "format": (below(HOOK, "Format: cloudevents"), "Hook", "Format", 7, "did you mean CloudEv"),
    "origins without format": (
        below(HOOK, "AllowedOrigins: [a.example]"),
        "Hook",
        "AllowedOrigins",
        7,
        "belongs to Format CloudEvents",
    ),
    "origin": (
        below(HOOK, "Format: CloudEvents\n      AllowedOrigins: ['https://a']"),
        "Hook",
        "AllowedOrigins",
        8,
        "not a host name",
    ),
    "rate": (below(HOOK, "RatePerMinute: 0"), "Hook", "RatePerMinute", 7, "1 and 1000000"),
    "joint key": (
        below(HOOK, "Deduplicate: {Key: [$.a, b]}"),
        "Hook",
        "Deduplicate.Key",
        7,
        "'b' is not a key",
    ),
    "no secret": (
        HOOK.replace("none", "github"),
        "Hook",
        "Signature.Secret",
        6,
        "{{resolve:secretsmanager:NAME}}",
    ),
    "three secrets": (
        HOOK.replace("none", "github, Secret: [a, b, c]"),
        "Hook",
        "Signature.Secret",
        6,
        "at most 2",
    ),
    "partition key": (below(HOOK, "PartitionKey: body.id"), "Hook", "PartitionKey", 7, "$.a.b"),
    "deduplicate": (
        below(HOOK, "Deduplicate: {WindowSeconds: 5}"),
        "Hook",
        "Deduplicate.Key",
        7,
        "is required",
    ),
    "shards": (below(HOOK, "Shards: 0"), "Hook", "Shards", 7, "1 and 256"),
    "retention": (below(HOOK, "RetentionSeconds: 5"), "Hook", "RetentionSeconds", 7, "60 and"),
    "generic member": (
        HOOK.replace("none", "github, Secret: a, Header: X"),
        "Hook",
        "Signature.Header",
        6,
        "belongs to Scheme hmac-sha256, hmac-sha1, hmac-sha512, not to github",
    ),
    "template field": (
        HOOK.replace("none", "hmac-sha256, Secret: a, Header: X, Template: '{timestamp}{body}'"),
        "Hook",
        "Signature.TimestampHeader",
        6,
        "is required",
    ),
    # References
    "unknown reference": (
        below(HOOK, "PartitionKey: !Ref Key"),
        "Hook",
        "PartitionKey.Ref",
        7,
        "refers to Key, which is no resource or parameter here",
    ),
    "unknown attribute": (
        MAPPING.replace("Hook.Arn", "Hook.Arm"),
        "Map",
        "EventSourceArn.Fn::GetAtt",
        18,
        "did you mean Arn?",
    ),
    "malformed secret": (
        HOOK.replace("none", 'github, Secret: "{{resolve:secretsmanager}}"'),
        "Hook",
        "Signature.Secret",
        6,
        "malformed dynamic reference",
    ),
    "secret with a JSON key": (
        HOOK.replace("none", 'github, Secret: "{{resolve:secretsmanager:a:SecretString:b}}"'),
        "Hook",
        "Signature.Secret",
        6,
        "only the secret's name",
    ),
    "secret out of the folder": (
        HOOK.replace("none", 'github, Secret: "{{resolve:secretsmanager:../etc/passwd}}"'),
        "Hook",
        "Signature.Secret",
        6,
        "names no secret",
    ),
    "secret elsewhere": (
        HOOK.replace("/h", '"/{{resolve:secretsmanager:a}}"'),
        "Hook",
        "Path",
        5,
        "not resolved here",
    ),
    "part of a variable": (
        below(FUNCTION, 'Environment: {Variables: {AA: "x{{resolve:ssm-secure:a}}"}}'),
        "Save",
        "Environment.Variables.AA",
        9,
        "must be the whole value",
    ),
    # Shape
    "unsupported type": (
        HOOK.replace("Router::Webhook", "AWS::SNS::Topic"),
        "Hook",
        "Type",
        3,
        "type AWS::SNS::Topic is not supported (make it elsewhere and name it by its ARN",
    ),
    "unknown type": (
        HOOK.replace("Router::Webhook", "AWS::EC2::Instance"),
        "Hook",
        "Type",
        3,
        "type AWS::EC2::Instance is not supported (supported: AWS::Serverless::Function",
    ),
    "misspelt type": (
        HOOK.replace("Router::Webhook", "Router::WebHook"),
        "Hook",
        "Type",
        3,
        "did you mean Router::Webhook?",
    ),
    "resource member": (
        HOOK.replace("Properties", "Property"),
        "Hook",
        "Property",
        4,
        "did you mean Properties?",
    ),
    "logical id": (HOOK.replace("Hook", "My-Hook"), "My-Hook", "", 2, "letters and digits"),
    "given twice": (below(HOOK, "Path: /x"), "Hook", "Path", 7, "first in line 5"),
    "depends on nothing": (
        HOOK + "    DependsOn: Hok\n",
        "Hook",
        "DependsOn",
        7,
        "did you mean Hook?",
    ),
    "unknown condition": (
        HOOK + "    Condition: IsProd\n",
        "Hook",
        "Condition",
        7,
        "unknown condition IsProd",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_problem_names_resource_property_line_and_hint(case, refuse):
    text, resource, prop, line, said = CASES[case]
    found = [str(problem) for problem in refuse(text)]
    problems = [
        problem
        for problem in refuse(text)
        if (problem.resource, problem.property, problem.line) == (resource, prop, line)
    ]
    assert len(problems) == 1, found
    assert said in str(problems[0]), found
    assert len(found) == 1, found


def test_file_and_place_lead_the_text(refuse, folder):
    (problem,) = refuse(below(HOOK, "Shard: 4"))
    text = f"{folder}/template.yaml:7:7: Hook.Shard: unknown property of Router::Webhook"
    assert str(problem) == f"{text} (did you mean Shards?)"


def test_everything_wrong_is_said_at_once(refuse):
    text = below(MAPPING, "BatchSize: 0", "Bisect: true").replace("/h", "h")
    text = text.replace("python3.12", "cobol")
    assert [(problem.resource, problem.property) for problem in refuse(text)] == [
        ("Save", "Runtime"),
        ("Hook", "Path"),
        ("Map", "BatchSize"),
        ("Map", "Bisect"),
    ]


def test_two_webhooks_on_one_path(refuse):
    text = HOOK + HOOK.removeprefix("Resources:\n").replace("Hook", "Other")
    (problem,) = refuse(text)
    assert (problem.resource, problem.property, problem.line) == ("Other", "Path", 10)


def test_two_mappings_of_one_stream_to_one_function(refuse, load):
    again = MAPPING.partition("  Map:\n")[2]
    (problem,) = refuse(f"{MAPPING}  Again:\n{again}")
    assert "Map maps the same source to the same function" in problem.text
    other = again.replace("!Ref Save", '!Sub "${Save}:$LATEST"')
    assert other != again
    assert len(load(f"{MAPPING}  Again:\n{other}").mappings) == 2


def test_circle_of_resources(refuse):
    problems = refuse(HOOK + "    DependsOn: Hook\n")
    assert [problem.text for problem in problems] == ["resources depend on each other: Hook → Hook"]


def test_name_made_of_itself(refuse):
    problems = refuse(below(QUEUE, "QueueName: !GetAtt Jobs.QueueName"))
    assert "depends on itself" in [problem.text for problem in problems]


def test_unreadable_file(refuse, load, folder):
    from router.template.load import load_template
    from router.template.problems import TemplateRefused

    with pytest.raises(TemplateRefused, match="cannot be read: No such file"):
        load_template(folder / "nothing.yaml")


def test_output_problems(refuse):
    text = HOOK + textwrap.dedent(
        """\
        Outputs:
          A: {Value: !GetAtt Hook.Nope}
          B: {Valu: 1}
          C: {Value: "{{resolve:secretsmanager:a}}"}
          D: {Value: [1]}
        """
    )
    found = {(problem.resource, problem.line): problem.text for problem in refuse(text)}
    assert found == {("B", 9): "must be a mapping with a Value"}
    found = refuse(text.replace("Valu:", "Value:"))
    assert [(problem.section, problem.resource, problem.line) for problem in found] == [
        ("Outputs", "A", 8),
        ("Outputs", "C", 10),
        ("Outputs", "D", 11),
    ]


def test_unknown_section_and_transform(refuse):
    found = refuse("Transform: Macro\nResorces: {}\n" + HOOK)
    assert [(problem.section, problem.line) for problem in found] == [
        ("Transform", 1),
        ("Resorces", 2),
    ]
    assert found[1].hint == "did you mean Resources?"
