"""`ProvisionedConcurrencyConfig` of versions and aliases."""

import pytest

from router.functions.concurrency import allotments
from router.model.concurrency import Allotment
from router.store.catalog import Catalog
from router.template.problems import TemplateRefused
from tests.unit.functions.test_dependents import Memory
from tests.unit.template.test_versions import SAM, make_applier  # noqa: F401  # a fixture

CONFIG = "ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: %s}"


def sam(count, reserved="", timeout=3):
    lines = ["AutoPublishAlias: live"]
    if count:
        lines.append(CONFIG % count)
    if reserved:
        lines.append(f"ReservedConcurrentExecutions: {reserved}")
    text = SAM.format(timeout=timeout).partition("    Outputs")[0]
    return text.replace("AutoPublishAlias: live", "\n          ".join(lines))


@pytest.fixture
def catalog():
    return Catalog(Memory())


@pytest.fixture
def applier(make_applier):  # noqa: F811
    return make_applier()


async def test_of_an_alias_comes_follows_and_goes(applier, load, catalog):
    plan = await applier.apply(load(sam(3)))
    (made,) = [change for change in plan.changes if change.kind == "provisioned"]
    assert (made.action, made.name) == ("create", "save:live")
    assert made.logical_id == "SaveAliaslive.ProvisionedConcurrencyConfig"
    assert allotments(catalog) == {"save": Allotment(None, {"1": 3})}
    assert catalog.provisioned["save:live"].last_modified_ms == 5
    assert (await applier.apply(load(sam(3)))).is_empty

    await applier.apply(load(sam(3, timeout=9)))
    assert allotments(catalog) == {"save": Allotment(None, {"2": 3})}, "it goes with the alias"
    plan = await applier.apply(load(sam(2, timeout=9)))
    (changed,) = [change for change in plan.changes if change.kind == "provisioned"]
    (found,) = changed.differences
    assert (found.property, found.before, found.after) == (
        "ProvisionedConcurrentExecutions",
        "3",
        "2",
    )
    await applier.apply(load(sam(0, timeout=9)))
    assert not catalog.provisioned
    assert catalog.aliases.keys() == {"save:live"}
    await applier.apply(load(sam(1, timeout=9)))
    await applier.apply(load("Resources: {Logs: {Type: AWS::Logs::LogGroup}}"))
    assert not catalog.provisioned
    assert not catalog.functions


async def test_of_a_version(applier, load, catalog):
    await applier.apply(
        load(
            f"""\
            Resources:
              Save:
                Type: AWS::Lambda::Function
                Properties:
                  FunctionName: save
                  Runtime: python3.12
                  Handler: app.handler
                  Role: arn:aws:iam::000000000000:role/x
                  Code: ./code
              One:
                Type: AWS::Lambda::Version
                Properties:
                  FunctionName: !Ref Save
                  {CONFIG % 2}
            """
        )
    )
    assert allotments(catalog) == {"save": Allotment(None, {"1": 2})}


async def test_more_than_the_function_reserves_is_refused(applier, load, catalog):
    plan = await applier.plan(load(sam(3, reserved=2)))
    (refused,) = [change.refusal for change in plan.changes if change.refusal]
    assert refused == "3 provisioned are more than the 2 that the function reserves"
    await applier.apply(load(sam(2, reserved=2)))
    assert allotments(catalog) == {"save": Allotment(2, {"1": 2})}


@pytest.mark.parametrize("count", ["0", "-1", "some", "1.5"])
def test_no_number_is_refused_at_its_line(load, count):
    with pytest.raises(TemplateRefused) as info:
        load(sam(count))
    assert "ProvisionedConcurrentExecutions" in str(info.value)
