"""`AWS::Logs::LogGroup` in templates."""

import pytest

from router.model.log_group import LogGroup
from router.store.catalog import Catalog, put
from router.template.plan import PlanRefused
from tests.unit.functions.test_dependents import Memory
from tests.unit.template.test_versions import make_applier  # noqa: F401  # a fixture

GROUP = """\
Resources:
  Logs:
    Type: AWS::Logs::LogGroup
    Properties: {{LogGroupName: /shop, {}}}
Outputs:
  Name: {{Value: !Ref Logs}}
  Arn: {{Value: !GetAtt Logs.Arn}}
"""
NOTHING = "Resources: {Role: {Type: AWS::IAM::Role}}"


@pytest.fixture
def catalog():
    return Catalog(Memory())


@pytest.fixture
def applier(make_applier):  # noqa: F811
    return make_applier()


async def test_a_group_is_kept_for_as_long_as_the_template_says(applier, load, catalog):
    plan = await applier.apply(
        load(GROUP.format("RetentionInDays: 14, Tags: [{Key: team, Value: shop}]"))
    )
    group = catalog.log_groups["/shop"]
    assert (group.retention_days, group.tags, group.created_ms) == (14, {"team": "shop"}, 5)
    assert plan.outputs["Name"] == "/shop"
    assert plan.outputs["Arn"].endswith(":log-group:/shop:*")
    assert plan.warnings == ()
    same = GROUP.format("RetentionInDays: 14, Tags: [{Key: team, Value: shop}]")
    assert (await applier.apply(load(same))).is_empty
    plan = await applier.apply(load(GROUP.format("RetentionInDays: 3653")))
    (changed,) = plan.changes
    found = {it.property: (it.before, it.after) for it in changed.differences}
    assert found == {"RetentionInDays": ("14", "3653"), "Tags.team": ("shop", None)}
    await applier.apply(load(GROUP.format("LogGroupClass: STANDARD")))
    assert catalog.log_groups["/shop"].retention_days is None
    await applier.apply(load(NOTHING))
    assert not catalog.log_groups


async def test_a_group_that_somebody_else_made_stays_theirs(applier, load, catalog):
    theirs = LogGroup(name="/shop", created_ms=1)
    await catalog.commit([put("log_group", "/shop", theirs)])
    with pytest.raises(PlanRefused, match="made through the API"):
        await applier.apply(load(GROUP.format("RetentionInDays: 1")))
    assert catalog.log_groups["/shop"] == theirs


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ("RetentionInDays: 2", "2 is none of 1, 3, 5"),
        ("RetentionInDays: 9999", "9999 is not between 1 and 3653"),
        ("LogGroupClass: INFREQUENT_ACCESS", "LogGroupClass"),
        ("Retention: 1", "unknown property of AWS::Logs::LogGroup"),
    ],
)
def test_what_a_group_cannot_have(refuse, properties, text):
    (problem,) = refuse(GROUP.format(properties))
    assert text in str(problem)


def test_what_has_no_effect_is_said(load):
    state = load(GROUP.format("KmsKeyId: x"))
    assert state.warnings == ("Logs: KmsKeyId has no effect",)
