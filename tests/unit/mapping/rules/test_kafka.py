"""Schema registries, modes and groups (1.2, 7.5, 7.6)."""

import pytest

from router.mapping.rules.kafka import check_kafka, config_of
from router.model.source_kind import SourceKind
from tests.unit.mapping.rules.sources import PROVISIONED, SECRET, settings

GLUE = {
    "SchemaRegistryURI": "arn:aws:glue:us-east-1:000000000000:registry/r",
    "EventRecordFormat": "JSON",
    "SchemaValidationConfigs": [{"Attribute": "VALUE"}],
}
CONFLUENT = {
    **GLUE,
    "SchemaRegistryURI": "https://registry.example",
    "AccessConfigs": [{"Type": "BASIC_AUTH", "URI": SECRET}],
}
ON_DEMAND = (
    "Unsupported 'schemaRegistryConfig' parameter for given event source mapping type. Kafka "
    "mappings take it in provisioned mode only (ProvisionedPollerConfig)."
)


@pytest.mark.parametrize(
    ("registry", "more", "texts"),
    [
        (GLUE, PROVISIONED, []),
        (CONFLUENT, PROVISIONED, []),
        ({}, {}, []),
        (GLUE, {}, [ON_DEMAND]),
        ({**GLUE, "AccessConfigs": CONFLUENT["AccessConfigs"]}, PROVISIONED,
         ["A Glue schema registry takes no AccessConfigs."]),
        ({"SchemaRegistryURI": "https://r"}, PROVISIONED,
         ["Required 'eventRecordFormat' parameter is missing.",
          "Required 'schemaValidationConfigs' parameter is missing."]),
    ],
)  # fmt: skip
def test_schema_registries(registry, more, texts):
    block = {"SelfManagedKafkaEventSourceConfig": {"SchemaRegistryConfig": registry}}
    given = settings("kafka", **block, **more)
    assert [it.message for it in check_kafka(SourceKind.KAFKA, given)] == texts


def test_the_block_is_the_kinds_own():
    group = {"ConsumerGroupId": "g"}
    assert config_of(SourceKind.MSK, {"AmazonManagedKafkaEventSourceConfig": group}) == group
    assert config_of(SourceKind.KAFKA, {"AmazonManagedKafkaEventSourceConfig": group}) == {}
    assert config_of(SourceKind.SQS, {"SelfManagedKafkaEventSourceConfig": group}) == {}
