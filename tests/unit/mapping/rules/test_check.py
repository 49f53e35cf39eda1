"""The texts of 1.5 and their order, by kind of source."""

import pytest

from router.mapping.rules import check
from router.mapping.rules.destination import NO_DESTINATION, SAME_TOPIC
from router.mapping.rules.settings import merged
from router.model.source_kind import RUN_HERE, SourceKind
from tests.unit.mapping.rules.sources import (
    FIFO,
    LEAST,
    PROVISIONED,
    QUEUE,
    SECRET,
    STREAM,
    TABLE,
    TOPIC,
    mapping,
    said,
    settings,
)

DESTINATION = "Unsupported DestinationConfig parameter for given event source mapping type."
WINDOW = (
    "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than "
    "10"
)
NULL_POSITION = (
    "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
    "Member must not be null."
)
AGE = "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)"
LANES = (
    "1 validation error detected: Value '11' at 'parallelizationFactor' failed to satisfy "
    "constraint: Member must have value less than or equal to 10"
)
FILTER = "Invalid filter pattern definition."
ON_DEMAND = "Kafka mappings take it in provisioned mode only (ProvisionedPollerConfig)."


def foreign(name):
    return f"Unsupported '{name}' parameter for given event source mapping type."


def failed_to(text):
    return {"DestinationConfig": {"OnFailure": {"Destination": text}}}


def filters(*patterns):
    return {"FilterCriteria": {"Filters": [{"Pattern": pattern} for pattern in patterns]}}


@pytest.mark.parametrize("kind", sorted(LEAST))
def test_the_least_settings_are_enough(kind):
    assert said(settings(kind)) == []


@pytest.mark.parametrize(
    ("kind", "more", "texts"),
    [
        # No source, or none that is known
        ("sqs", {"EventSourceArn": None}, ["Unrecognized event source."]),
        ("sqs", {"EventSourceArn": ""}, ["Unrecognized event source."]),
        ("sqs", {"EventSourceArn": "arn:aws:s3:::b"}, ["Unrecognized event source."]),
        ("dynamodb", {"EventSourceArn": TABLE.split("/stream")[0]}, ["Unrecognized event source."]),
        ("kafka", {"SelfManagedEventSource": {}}, ["Unrecognized event source."]),
        # Position
        ("kinesis", {"StartingPosition": None}, [NULL_POSITION]),
        ("dynamodb", {"StartingPosition": None}, [NULL_POSITION]),
        ("msk", {"StartingPosition": None}, [NULL_POSITION]),
        ("kafka", {"StartingPosition": None}, []),
        ("webhook", {"StartingPosition": None}, []),
        ("dynamodb", {"StartingPosition": "AT_TIMESTAMP"},
         [f"Unsupported starting position for arn type: {TABLE}"]),
        ("kinesis", {"StartingPosition": "AT_TIMESTAMP"}, ["Need to specify a timestamp"]),
        ("kinesis", {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 9e9},
         ["StartingPositionTimestamp cannot be in the future."]),
        ("kinesis", {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1.5}, []),
        ("kinesis", {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 0}, []),
        ("kinesis", {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": -1e300},
         ["StartingPositionTimestamp cannot be before 1970."]),
        ("kinesis", {"StartingPositionTimestamp": 1},
         ["StartingPositionTimestamp is valid only with AT_TIMESTAMP."]),
        ("dynamodb", {"StartingPositionTimestamp": 1}, [foreign("startingPositionTimestamp")]),
        ("sqs", {"StartingPosition": "LATEST"}, [foreign("startingPosition")]),
        ("mq", {"StartingPosition": "LATEST"}, [foreign("startingPosition")]),
        # Batch and window
        ("sqs", {"BatchSize": 11}, [WINDOW]),
        ("sqs", {"BatchSize": 11, "MaximumBatchingWindowInSeconds": 0}, [WINDOW]),
        ("sqs", {"BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 1}, []),
        ("fifo", {"BatchSize": 11}, ["Maximum batch size must be between 1 and 10 inclusive"]),
        ("fifo", {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 0}, []),
        ("fifo", {"BatchSize": 11, "MaximumBatchingWindowInSeconds": 1},
         ["Batching window is not supported for FIFO queues",
          "Maximum batch size must be between 1 and 10 inclusive"]),
        ("kinesis", {"BatchSize": 10_000}, []),
        # What a kind does not take
        ("sqs", {"MaximumRetryAttempts": 1}, [foreign("maximumRetryAttempts")]),
        ("sqs", {"MaximumRecordAgeInSeconds": 60}, [foreign("maximumRecordAgeInSeconds")]),
        ("sqs", {"BisectBatchOnFunctionError": True}, [foreign("bisectBatchOnFunctionError")]),
        ("sqs", {"TumblingWindowInSeconds": 1}, [foreign("tumblingWindowInSeconds")]),
        ("fifo", {"ParallelizationFactor": 2}, [foreign("parallelizationFactor")]),
        ("sqs", {"Topics": ["t1"]}, [foreign("topics")]),
        ("sqs", {"SelfManagedEventSource": {"Endpoints": {}}},
         [foreign("selfManagedEventSource")]),
        ("sqs", {"LoggingConfig": {"SystemLogLevel": "INFO"}}, [foreign("loggingConfig")]),
        ("kinesis", {"ScalingConfig": {"MaximumConcurrency": 2}}, [foreign("scalingConfig")]),
        ("kinesis", PROVISIONED, [foreign("provisionedPollerConfig")]),
        ("kinesis", {"SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": SECRET}]},
         [foreign("sourceAccessConfigurations"), "Invalid parameters: BASIC_AUTH"]),
        ("kafka", {"TumblingWindowInSeconds": 1}, [foreign("tumblingWindowInSeconds")]),
        ("kafka", {"AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}},
         [foreign("amazonManagedKafkaEventSourceConfig")]),
        ("msk", {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}},
         [foreign("selfManagedKafkaEventSourceConfig")]),
        ("mq", {"FunctionResponseTypes": ["ReportBatchItemFailures"]},
         [foreign("functionResponseTypes")]),
        ("mq", {"MetricsConfig": {"Metrics": ["EventCount"]}}, [foreign("metricsConfig")]),
        ("documentdb", filters('{"a": [1]}'), [foreign("filterCriteria")]),
        ("documentdb", {"KMSKeyArn": "arn:aws:kms:x"}, [foreign("kMSKeyArn")]),
        ("sqs", {"MetricsConfig": {"Metrics": ["ErrorCount"]}}, [foreign("metricsConfig")]),
        ("sqs", {"MetricsConfig": {"Metrics": ["EventCount"]}}, []),
        ("kafka", {"MetricsConfig": {"Metrics": ["EventCount", "ErrorCount", "KafkaMetrics"]}}, []),
        ("sqs", {"FunctionResponseTypes": [], "ScalingConfig": {}, "ProvisionedPollerConfig": {},
                 "DestinationConfig": {"OnFailure": {}}, "Topics": []}, []),
        # Beyond AWS: lanes inside a partition
        ("kafka", {"ParallelizationFactor": 1_000}, []),
        ("kinesis", {"ParallelizationFactor": 11},
         [LANES]),
        # Kafka on demand
        ("kafka", {"MaximumRetryAttempts": 1}, [f"{foreign('maximumRetryAttempts')} {ON_DEMAND}"]),
        ("kafka", {"MaximumRetryAttempts": 1, **PROVISIONED}, []),
        ("kafka", {"MaximumRetryAttempts": -1, "MaximumRecordAgeInSeconds": -1,
                   "BisectBatchOnFunctionError": False}, []),
        ("msk", {"FunctionResponseTypes": ["ReportBatchItemFailures"]},
         [f"{foreign('functionResponseTypes')} {ON_DEMAND}"]),
        ("msk", {"LoggingConfig": {"SystemLogLevel": "INFO"}},
         [f"{foreign('loggingConfig')} {ON_DEMAND}"]),
        ("kafka", failed_to("kafka://failed"), [DESTINATION]),
        ("kafka", {**failed_to("kafka://failed"), **PROVISIONED}, []),
        ("kafka", failed_to(TOPIC), []),
        # Destinations
        ("sqs", failed_to(QUEUE), [DESTINATION]),
        ("sqs", failed_to(""), []),
        ("mq", failed_to(QUEUE), [DESTINATION]),
        ("kinesis", failed_to("kafka://failed"), [DESTINATION]),
        ("kinesis", {"DestinationConfig": {"OnSuccess": {"Destination": QUEUE}}}, [DESTINATION]),
        *((kind, failed_to(to), [])
          for kind in ("kinesis", "dynamodb", "webhook", "msk", "kafka")
          for to in (QUEUE, FIFO, TOPIC, "arn:aws:s3:::bucket",
                     "arn:aws:lambda:us-east-1:000000000000:function:f:live")),
        ("kinesis", failed_to("arn:aws:events:us-east-1:000000000000:event-bus/b"),
         [NO_DESTINATION.format("arn:aws:events:us-east-1:000000000000:event-bus/b")]),
        ("kafka", failed_to("arn:aws:s3:::b/key"), [NO_DESTINATION.format("arn:aws:s3:::b/key")]),
        ("kafka", {**failed_to("kafka://orders"), "Topics": ["orders"], **PROVISIONED},
         [SAME_TOPIC]),
        # What a kind needs
        ("kafka", {"SourceAccessConfigurations": None},
         ["Required 'sourceAccessConfigurations' parameter is missing."]),
        ("mq", {"SourceAccessConfigurations": None},
         ["Required 'sourceAccessConfigurations' parameter is missing."]),
        ("msk", {"SourceAccessConfigurations": None}, []),
        ("msk", {"Topics": None}, ["Required 'topics' parameter is missing."]),
        ("mq", {"Queues": None}, ["Required 'queues' parameter is missing."]),
        ("documentdb", {"DocumentDBEventSourceConfig": None},
         ["Required 'documentDBEventSourceConfig' parameter is missing."]),
        # Age
        ("kinesis", {"MaximumRecordAgeInSeconds": 0}, [AGE]),
        ("kinesis", {"MaximumRecordAgeInSeconds": 59}, [AGE]),
        ("kinesis", {"MaximumRecordAgeInSeconds": 60}, []),
        # Filters (P22)
        ("sqs", filters('{"eventSource": "aws:sqs"}'), [FILTER]),
        ("sqs", filters('{"eventSource": []}'), [FILTER]),
        ("sqs", filters("{"), [FILTER]),
        ("sqs", {"FilterCriteria": {"Filters": [{}]}}, [FILTER]),
        ("sqs", filters('{"body": ["ping"]}'), []),
        ("kinesis", filters('{"data": ["ping"]}'), [FILTER]),
        ("kafka", filters('{"value": ["ping"]}'), []),
        ("sqs", filters(*['{"body": ["a"]}'] * 6),
         ["Filter criteria exceed the limit of 5 filters."]),
    ],
)  # fmt: skip
def test_texts(kind, more, texts):
    assert said(settings(kind, **more)) == texts


def test_the_first_of_several_is_the_contracts_first():
    """1.5: destination shape, source, position, batch, what the kind takes, filters."""
    wrong = {
        "EventSourceArn": STREAM,
        "DestinationConfig": {"OnSuccess": {"Destination": QUEUE}},
        "ScalingConfig": {"MaximumConcurrency": 2},
        "MaximumRecordAgeInSeconds": 1,
        **filters("{"),
    }
    assert said(wrong) == [DESTINATION, NULL_POSITION, foreign("scalingConfig"), AGE, FILTER]
    assert said({**wrong, "EventSourceArn": "arn:aws:s3:::b"}) == [
        DESTINATION,
        "Unrecognized event source.",
    ]
    both = {"EventSourceArn": FIFO, "BatchSize": 11, "MaximumRetryAttempts": 1}
    assert said(both)[0] == "Maximum batch size must be between 1 and 10 inclusive"


def test_queue_mode_of_kafka_takes_no_position_and_no_window():
    """7.5."""
    mode = {"SelfManagedKafkaEventSourceConfig": {"ConsumptionMode": "Queue"}}
    assert said(settings("kafka", **mode)) == []
    given = settings(
        "kafka",
        **mode,
        **PROVISIONED,
        StartingPosition="LATEST",
        MaximumBatchingWindowInSeconds=1,
        MaximumRetryAttempts=-1,
    )
    assert said(given) == [
        foreign("startingPosition"),
        foreign("maximumBatchingWindowInSeconds"),
        f"{foreign('maximumRetryAttempts')} Queue mode takes 0 to 10000.",
    ]


def test_a_problem_says_where_it_is():
    """Templates turn the path into a line."""
    paths = [
        problem.path
        for problem in check.problems(
            settings(
                "kafka",
                SourceAccessConfigurations=[{"Type": "VIRTUAL_HOST", "URI": "/"}],
                MaximumRetryAttempts=3,
                **filters("{}", "{"),
            ),
            0,
        )
    ]
    assert paths == [
        ("MaximumRetryAttempts",),
        ("SourceAccessConfigurations", 0, "Type"),
        ("FilterCriteria", "Filters", 0, "Pattern"),
        ("FilterCriteria", "Filters", 1, "Pattern"),
    ]


@pytest.mark.parametrize(
    ("kind", "was", "asked", "texts"),
    [
        ("sqs", {}, {"BatchSize": 11}, [WINDOW]),
        ("sqs", {"MaximumBatchingWindowInSeconds": 5}, {"BatchSize": 11}, []),
        ("sqs", {"MaximumBatchingWindowInSeconds": 5, "BatchSize": 11},
         {"MaximumBatchingWindowInSeconds": 0}, [WINDOW]),
        ("sqs", {"ScalingConfig": {"MaximumConcurrency": 2}},
         {"ProvisionedPollerConfig": {"MinimumPollers": 2}},
         ["ScalingConfig and ProvisionedPollerConfig cannot be used together."]),
        ("sqs", {"ScalingConfig": {"MaximumConcurrency": 2}},
         {"ProvisionedPollerConfig": {"MinimumPollers": 2}, "ScalingConfig": {}}, []),
        ("kafka", {**PROVISIONED, "MaximumRetryAttempts": 3}, {"ProvisionedPollerConfig": {}},
         [f"{foreign('maximumRetryAttempts')} {ON_DEMAND}"]),
        ("kafka", {**PROVISIONED, "MaximumRetryAttempts": 3},
         {"ProvisionedPollerConfig": {}, "MaximumRetryAttempts": -1}, []),
        ("kafka", {},
         {"SourceAccessConfigurations": [{"Type": "VIRTUAL_HOST", "URI": "/"}]},
         ["Invalid parameters: VIRTUAL_HOST", "Invalid parameters: VIRTUAL_HOST"]),
        ("kafka", {}, {"SourceAccessConfigurations": []},
         ["Required 'sourceAccessConfigurations' parameter is missing."]),
        ("kafka", {}, {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "other"}},
         ["Invalid parameters: ConsumerGroupId. It is set when a mapping is created."]),
        ("kafka", {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}},
         {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}}, []),
        ("kafka", {}, {"SelfManagedKafkaEventSourceConfig": {"ConsumptionMode": "Queue"}},
         ["Invalid parameters: ConsumptionMode. It is set when a mapping is created."]),
        ("kinesis", {}, {"MaximumRecordAgeInSeconds": 1}, [AGE]),
        ("sqs", {}, {"DestinationConfig": {"OnSuccess": {"Destination": QUEUE}}}, [DESTINATION]),
    ],
)  # fmt: skip
def test_updates_are_checked_as_they_will_be(kind, was, asked, texts):
    """P4."""
    known = mapping(kind, **was)
    found = check.update_problems(known, asked, merged(known, asked))
    assert [problem.message for problem in found] == texts


def test_what_is_not_here_yet_is_named():
    """Sound on AWS: refused after everything else, with what it is."""
    for kind, least in LEAST.items():
        texts = [problem.message for problem in check.later(SourceKind(kind), least)]
        assert bool(texts) == (SourceKind(kind) not in RUN_HERE)
    (key,) = check.later(SourceKind.WEBHOOK, {"KMSKeyArn": "arn:aws:kms:x"})
    assert key.message.startswith("Filter criteria encrypted with a KMS key are not supported")
    assert not list(check.later(SourceKind.WEBHOOK, {"KMSKeyArn": ""}))
    kafka = settings(
        "kafka",
        SourceAccessConfigurations=[{"Type": "IAM_AUTH"}],
        SelfManagedKafkaEventSourceConfig={
            "ConsumptionMode": "Queue",
            "SchemaRegistryConfig": {"SchemaRegistryURI": "https://registry"},
        },
    )
    texts = [problem.message for problem in check.later(SourceKind.KAFKA, kafka)]
    assert [text.partition(" not supported")[0] for text in texts][-3:] == [
        "Kafka mappings in Queue mode (share groups) are",
        "Schema registries are",
        "SourceAccessConfigurations of type IAM_AUTH are",
    ]
