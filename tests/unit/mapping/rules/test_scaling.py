"""ScalingConfig and ProvisionedPollerConfig (1.3, 7.2)."""

import pytest

from router.mapping.rules.scaling import check_group, check_scaling, pollers_of
from router.model.resources import Mapping, Pollers
from router.model.source_kind import SourceKind


def config(**members):
    return {"ProvisionedPollerConfig": members}


@pytest.mark.parametrize(
    ("kind", "settings", "pollers"),
    [
        ("sqs", {}, None),
        ("sqs", config(), None),
        ("sqs", config(MinimumPollers=5), Pollers(5, 200)),
        ("sqs", config(MaximumPollers=10_000), Pollers(2, 10_000)),
        ("kafka", config(MaximumPollers=1), Pollers(1, 1)),
        ("msk", config(MinimumPollers=200, PollerGroupName="g"), Pollers(200, 200, "g")),
        ("msk", config(MinimumPollers=1, PollerGroupName=""), Pollers(1, 200)),
    ],
)
def test_defaults(kind, settings, pollers):
    assert pollers_of(SourceKind(kind), settings) == pollers


BOTH = {"ScalingConfig": {"MaximumConcurrency": 2}, **config(MinimumPollers=2)}


@pytest.mark.parametrize(
    ("kind", "settings", "texts"),
    [
        ("sqs", config(MinimumPollers=2, MaximumPollers=10_000), []),
        ("sqs", config(MinimumPollers=1), ["MinimumPollers must be at least 2 for SQS."]),
        ("sqs", config(MaximumPollers=1),
         ["MaximumPollers must be at least 2 for SQS.",
          "MaximumPollers must be greater than or equal to MinimumPollers."]),
        ("kafka", config(MaximumPollers=2_000), []),
        ("kafka", config(MaximumPollers=2_001), ["MaximumPollers must be at most 2000 for Kafka."]),
        ("kafka", config(MinimumPollers=5, MaximumPollers=4),
         ["MaximumPollers must be greater than or equal to MinimumPollers."]),
        ("sqs", config(MinimumPollers=2, PollerGroupName="g"),
         ["Unsupported 'pollerGroupName' parameter for given event source mapping type."]),
        ("sqs", BOTH, ["ScalingConfig and ProvisionedPollerConfig cannot be used together."]),
        ("fifo", {"ScalingConfig": {"MaximumConcurrency": 2}}, []),
    ],
)  # fmt: skip
def test_bounds(kind, settings, texts):
    assert [it.message for it in check_scaling(SourceKind(kind), settings)] == texts


def member(number, most, group="g"):
    pollers = Pollers(1, most, group)
    return Mapping(uuid=str(number), name="m", function="f", last_modified_ms=1, pollers=pollers)


def texts(mapping, others):
    return [it.message for it in check_group(mapping, others)]


def test_a_group_has_room_for_a_hundred_mappings_and_two_thousand_pollers():
    hundred = [member(number, 1) for number in range(100)]
    assert texts(member("new", 1), hundred[:99]) == []
    assert texts(member("new", 1), hundred) == ["Poller group g has 100 mappings already."]
    assert texts(hundred[3], hundred) == []
    assert texts(member("new", 1_000), [member(1, 1_000)]) == []
    assert texts(member("new", 1_001), [member(1, 1_000)]) == [
        "The mappings of poller group g would have 2001 pollers together, and 2000 are the most."
    ]
    assert texts(member("new", 2_000), [member(1, 2_000, "other"), member(2, 2_000, "")]) == []
    assert texts(member("new", 2_000, ""), [member(1, 2_000, "")]) == []
