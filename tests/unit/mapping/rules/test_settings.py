"""Settings into a mapping and back, and what updates make of them (1.6)."""

from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.mapping.rules import check
from router.mapping.rules.settings import merged, settings_of, with_settings
from router.mapping.rules.source import source_kind
from router.mapping.rules.takes import takes
from router.model.resources import Mapping, Pollers, SourceAccess
from router.model.source_kind import SourceKind
from tests.unit.mapping.rules.sources import LEAST, NOW_S, PROVISIONED, QUEUE, SECRET, UUID, mapping
from tests.unit.mapping.rules.sources import settings as least


@pytest.mark.parametrize("kind", sorted(LEAST))
def test_there_and_back(kind):
    known = mapping(kind)
    assert known.kind == kind
    assert with_settings(known, SourceKind(kind), settings_of(known)) == known
    assert list(check.problems(settings_of(known), NOW_S)) == []


def test_defaults_by_kind():
    assert {kind: mapping(kind).batch_size for kind in LEAST} == {
        kind: 10 if kind in {"sqs", "fifo"} else 100 for kind in LEAST
    }
    waits = {kind for kind in LEAST if mapping(kind).window_s is None}
    assert waits == {"msk", "kafka", "mq", "documentdb"}
    assert mapping("kafka").consumer_group == UUID
    assert mapping("sqs").consumer_group == ""
    assert mapping("documentdb").extra == {
        "DocumentDBEventSourceConfig": {"FullDocument": "Default", "DatabaseName": "shop"}
    }


def test_everything_kafka_takes():
    known = mapping(
        "kafka",
        BatchSize=7,
        MaximumBatchingWindowInSeconds=0,
        StartingPosition="AT_TIMESTAMP",
        StartingPositionTimestamp=1_764_000_000.25,
        SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": "g", "ConsumptionMode": "Stream"},
        ProvisionedPollerConfig={"MaximumPollers": 4, "PollerGroupName": "p"},
        ParallelizationFactor=1_000,
        SourceAccessConfigurations=[{"Type": "IAM_AUTH"}, {"Type": "VPC_SUBNET", "URI": "s"}],
        MetricsConfig={"Metrics": ["KafkaMetrics"]},
        LoggingConfig={"SystemLogLevel": "WARN"},
    )
    assert known.starting_timestamp_ms == 1_764_000_000_250
    assert known.pollers == Pollers(1, 4, "p")
    assert known.source_access == (SourceAccess("IAM_AUTH"), SourceAccess("VPC_SUBNET", "s"))
    assert (known.window_s, known.factor, known.consumer_group) == (0, 1_000, "g")
    assert known.extra.keys() == {"MetricsConfig", "LoggingConfig"}
    assert with_settings(known, SourceKind.KAFKA, settings_of(known)) == known


def test_members_of_the_poller_block_stay_and_are_cleared_one_by_one():
    """1.6: what is left out is unchanged, `PollerGroupName: ""` clears."""
    was = {"MinimumPollers": 2, "MaximumPollers": 4, "PollerGroupName": "p"}
    known = mapping("kafka", ProvisionedPollerConfig=was)

    def after(**asked):
        wanted = merged(known, {"ProvisionedPollerConfig": asked})
        return with_settings(known, SourceKind.KAFKA, wanted).pollers

    assert after(MaximumPollers=9) == Pollers(2, 9, "p")
    assert after(PollerGroupName="") == Pollers(2, 4)
    assert after() is None


@pytest.mark.parametrize(
    ("kind", "was", "clearing"),
    [
        ("sqs", {"FilterCriteria": {"Filters": [{"Pattern": '{"body": ["a"]}'}]}},
         {"FilterCriteria": {}}),
        ("sqs", {"FilterCriteria": {"Filters": [{"Pattern": '{"body": ["a"]}'}]}},
         {"FilterCriteria": {"Filters": []}}),
        ("sqs", {"ScalingConfig": {"MaximumConcurrency": 5}}, {"ScalingConfig": {}}),
        ("sqs", {"ProvisionedPollerConfig": {"MinimumPollers": 5}},
         {"ProvisionedPollerConfig": {}}),
        ("kinesis", {"DestinationConfig": {"OnFailure": {"Destination": QUEUE}}},
         {"DestinationConfig": {"OnFailure": {"Destination": ""}}}),
        ("sqs", {"FunctionResponseTypes": ["ReportBatchItemFailures"]},
         {"FunctionResponseTypes": []}),
        ("sqs", {"MetricsConfig": {"Metrics": ["EventCount"]}}, {"MetricsConfig": {}}),
        ("sqs", {"MetricsConfig": {"Metrics": ["EventCount"]}}, {"MetricsConfig": {"Metrics": []}}),
        ("kafka", {**PROVISIONED, "LoggingConfig": {"SystemLogLevel": "INFO"}},
         {"LoggingConfig": {}, "ProvisionedPollerConfig": {}}),
        ("sqs", {"KMSKeyArn": "arn:aws:kms:x"}, {"KMSKeyArn": ""}),
    ],
)  # fmt: skip
def test_clearing_forms(kind, was, clearing):
    known, bare = mapping(kind, **was), mapping(kind)
    assert known != bare
    cleared = merged(known, clearing)
    assert list(check.update_problems(known, clearing, cleared)) == []
    assert with_settings(known, SourceKind(kind), cleared) == bare


# Any sequence of updates

VALUES = {
    "BatchSize": [1, 10, 11, 10_000],
    "MaximumBatchingWindowInSeconds": [0, 1, 300],
    "ParallelizationFactor": [1, 10, 11, 1_000],
    "MaximumRetryAttempts": [-1, 0, 3],
    "MaximumRecordAgeInSeconds": [-1, 0, 60],
    "BisectBatchOnFunctionError": [True, False],
    "TumblingWindowInSeconds": [0, 60],
    "FunctionResponseTypes": [[], ["ReportBatchItemFailures"]],
    "ScalingConfig": [{}, {"MaximumConcurrency": 2}],
    "ProvisionedPollerConfig": [
        {},
        {"MinimumPollers": 3},
        {"MaximumPollers": 3},
        {"MinimumPollers": 5, "MaximumPollers": 4},
        {"MinimumPollers": 2, "MaximumPollers": 900, "PollerGroupName": "g"},
        {"PollerGroupName": ""},
    ],
    "FilterCriteria": [{}]
    + [
        {"Filters": [{"Pattern": pattern}]}
        for pattern in ('{"body": {"a": [1]}}', '{"data": ["a"]}', '{"value": {"a": [1]}}', "{")
    ],
    "DestinationConfig": [
        {"OnFailure": {"Destination": ""}},
        {"OnFailure": {"Destination": QUEUE}},
        {"OnFailure": {"Destination": "kafka://t"}},
        {"OnSuccess": {"Destination": QUEUE}},
    ],
    "MetricsConfig": [{}, {"Metrics": []}, {"Metrics": ["EventCount"]}],
    "LoggingConfig": [{}, {"SystemLogLevel": "INFO"}],
    "SourceAccessConfigurations": [[], [{"Type": "SASL_SCRAM_512_AUTH", "URI": SECRET}]],
}


@st.composite
def updates_of(draw, kind):
    """A few members at a time, nearly always such as the kind takes."""
    names = [name for name in VALUES if takes(SourceKind(kind), name)]
    if draw(st.integers(0, 9)) == 0:
        names = list(VALUES)
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    return {name: draw(st.sampled_from(VALUES[name])) for name in chosen}


class Model:
    """A mapping as a dict of what was said last, in the most naive way."""

    def __init__(self, kind):
        self.kind = SourceKind(kind)
        self.said = deepcopy(least(kind))

    def after(self, asked):
        """What holds after an update that is taken."""
        said = deepcopy(self.said)
        for name, value in asked.items():
            if name == "ProvisionedPollerConfig" and value and said.get(name):
                said[name] = {**said[name], **value}
            else:
                said[name] = value
        if said.get("ProvisionedPollerConfig") == {}:
            del said["ProvisionedPollerConfig"]
        return said

    def mapping(self):
        """As if it had been created that way."""
        bare = Mapping(uuid=UUID, name=UUID[:8], function="f", last_modified_ms=1)
        return with_settings(bare, source_kind(self.said), self.said)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(LEAST)))
def test_any_sequence_of_updates_keeps_a_mapping_that_could_have_been_created(data, kind):
    """P4: an update is taken exactly when what comes of it is valid, and changes what it says."""
    model, known = Model(kind), mapping(kind)
    for asked in data.draw(st.lists(updates_of(kind), min_size=12, max_size=20)):
        wanted = merged(known, asked)
        texts = [it.message for it in check.update_problems(known, asked, wanted)]
        as_created = [it.message for it in check.problems(model.after(asked), NOW_S)]
        assert bool(texts) == bool(as_created), (texts, as_created)
        if texts:
            continue
        model.said = model.after(asked)
        known = with_settings(known, SourceKind(kind), wanted)
        assert known == model.mapping()
        assert list(check.problems(settings_of(known), NOW_S)) == []
