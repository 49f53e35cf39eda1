"""From a template's properties to the settings the API would have got."""

import pytest

from router.mapping.rules import check
from router.mapping.rules.refusal import Refusal
from router.template.problems import Mark, Places, Problems, TemplateRefused
from router.template.properties import Properties
from router.template.resources.mapping_settings import note, read_settings

PATH = ("Resources", "Map", "Properties")


def properties(values):
    problems = Problems(Places("t.yaml", {(): Mark(1, 1)}))
    return Properties(values, PATH, problems), problems


def found(problems):
    try:
        problems.raise_any()
    except TemplateRefused as refused:
        return [(problem.property, problem.text) for problem in refused.problems]
    return []


def test_all_there_is_to_a_kafka_mapping():
    """As the API takes it; numbers and booleans may come as text."""
    given, problems = properties(
        {
            "SelfManagedEventSource": {
                "Endpoints": {"KafkaBootstrapServers": ["b-1:9092", "b-2.example:9093"]}
            },
            "Topics": ["orders"],
            "BatchSize": "500",
            "StartingPosition": "LATEST",
            "ParallelizationFactor": 64,
            "SourceAccessConfigurations": [
                {"Type": "SASL_SCRAM_512_AUTH", "URI": "arn:aws:secretsmanager:x"},
                {"Type": "VPC_SUBNET", "URI": "subnet:subnet-1"},
            ],
            "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "shop"},
            "ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": "4"},
            "BisectBatchOnFunctionError": "true",
            "MaximumRetryAttempts": 3,
            "DestinationConfig": {"OnFailure": {"Destination": "kafka://failed", "Type": "Kafka"}},
            "MetricsConfig": {"Metrics": ["EventCount", "KafkaMetrics"]},
            "LoggingConfig": {"SystemLogLevel": "INFO"},
            "FilterCriteria": {"Filters": [{"Pattern": '{"value": {"a": [1]}}'}]},
            "KmsKeyArn": "arn:aws:kms:x",
        }
    )
    settings = read_settings(given)
    assert found(problems) == []
    assert settings == {
        "SelfManagedEventSource": {
            "Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["b-1:9092", "b-2.example:9093"]}
        },
        "Topics": ["orders"],
        "BatchSize": 500,
        "StartingPosition": "LATEST",
        "ParallelizationFactor": 64,
        "SourceAccessConfigurations": [
            {"Type": "SASL_SCRAM_512_AUTH", "URI": "arn:aws:secretsmanager:x"},
            {"Type": "VPC_SUBNET", "URI": "subnet:subnet-1"},
        ],
        "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "shop"},
        "ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 4},
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": 3,
        "DestinationConfig": {"OnFailure": {"Destination": "kafka://failed"}},
        "MetricsConfig": {"Metrics": ["EventCount", "KafkaMetrics"]},
        "LoggingConfig": {"SystemLogLevel": "INFO"},
        "FilterCriteria": {"Filters": [{"Pattern": '{"value": {"a": [1]}}'}]},
        "KMSKeyArn": "arn:aws:kms:x",
    }
    assert list(check.problems(settings, 0)) == []


@pytest.mark.parametrize(
    ("values", "where", "text"),
    [
        ({"BatchSize": 0}, "BatchSize", "0 is not between 1 and 10000"),
        ({"BatchSize": "many"}, "BatchSize", "must be a whole number"),
        ({"Topics": "orders"}, "Topics", "must be a list"),
        ({"Topics": ["a1", "b1"]}, "Topics", "takes at most 1 item"),
        ({"Topics": [{}]}, "Topics[0]", "must be text"),
        ({"ScalingConfig": 5}, "ScalingConfig", "must be a mapping"),
        (
            {"ScalingConfig": {"MaximumConcurrency": 1_001}},
            "ScalingConfig.MaximumConcurrency",
            "1001 is not between 2 and 1000",
        ),
        (
            {"SourceAccessConfigurations": [{"URI": "x"}]},
            "SourceAccessConfigurations[0].Type",
            "is required",
        ),
        (
            {"SourceAccessConfigurations": [{"Type": "PLAIN", "URI": "x"}]},
            "SourceAccessConfigurations[0].Type",
            "'PLAIN' is not one of BASIC_AUTH,",
        ),
        (
            {"SelfManagedKafkaEventSourceConfig": {"Group": "g"}},
            "SelfManagedKafkaEventSourceConfig.Group",
            "unknown property of SelfManagedKafkaEventSourceConfig",
        ),
        (
            {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "a\tb"}},
            "SelfManagedKafkaEventSourceConfig.ConsumerGroupId",
            "does not match",
        ),
    ],
)
def test_misfits_are_noted_where_they_are_and_left_out(values, where, text):
    given, problems = properties(values)
    read_settings(given)
    ((place, said),) = found(problems)
    assert place == where
    assert text in said


def test_refusals_are_said_in_the_templates_names():
    given, problems = properties({"KmsKeyArn": "k"})
    note(given, Refusal("no.", "KMSKeyArn"))
    note(given, Refusal("nor this.", "SelfManagedEventSource", "Endpoints"))
    assert found(problems) == [
        ("KmsKeyArn", "no."),
        ("SelfManagedEventSource.Endpoints", "nor this."),
    ]
    assert given.has_problem("SelfManagedEventSource")
    assert not given.has_problem("SelfManaged")
