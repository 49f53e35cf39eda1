"""Versions and aliases of templates: published when something has changed, else left alone."""

from io import StringIO

import msgspec
import pytest
from rich.console import Console

from router.functions.packages import CodeStore
from router.functions.permissions import policy_of
from router.functions.publish import publish
from router.functions.resolve import look_up
from router.store.catalog import Catalog, put
from router.template.apply import Applier
from router.template.code import InPlace
from router.template.render import print_plan
from tests.unit.functions.test_dependents import Memory
from tests.unit.template.texts import SAVE

SAM = """\
    Transform: AWS::Serverless-2016-10-31
    Resources:
      Save:
        Type: AWS::Serverless::Function
        Properties:
          FunctionName: save
          Runtime: python3.12
          Handler: app.handler
          Timeout: {timeout}
          CodeUri: ./code
          AutoPublishAlias: live
    Outputs:
      Version: {{Value: !Ref Save.Version}}
      Alias: {{Value: !Ref Save.Alias}}
    """

PLAIN = (
    SAVE
    + """\
          Timeout: {timeout}
{versions}
      Live:
        Type: AWS::Lambda::Alias
        Properties:
          FunctionName: !Ref Save
          Name: live
          FunctionVersion: !GetAtt {primary}.Version
          {routing}
    """
)

VERSION = """\
      {name}:
        Type: AWS::Lambda::Version
        Properties: {{FunctionName: !Ref Save, Description: as {name}}}
"""


def plain(*names, timeout=3, primary="One", routing=""):
    versions = "".join(VERSION.format(name=name) for name in names)
    return PLAIN.format(timeout=timeout, versions=versions, primary=primary, routing=routing)


@pytest.fixture
def catalog():
    return Catalog(Memory())


@pytest.fixture
def make_applier(catalog, tmp_path):
    def make(code=None, **options):
        codes = CodeStore(tmp_path / "copies")

        async def nothing(kind, name):
            return 0

        return Applier(
            catalog, code or codes.snapshot, nothing, tmp_path / "inline", lambda: 5,
            codes=codes, **options,
        )  # fmt: skip

    return make


@pytest.fixture
def applier(make_applier):
    return make_applier()


def actions(plan):
    return {change.name: change.action for change in plan.changes}


async def test_auto_publish_publishes_what_has_changed_and_moves_the_alias(
    applier, load, catalog, folder
):
    plan = await applier.apply(load(SAM.format(timeout=3)))
    assert actions(plan) == {"save": "create", "save:1": "create", "save:live": "create"}
    assert plan.outputs["Version"].endswith(":function:save:1")
    assert plan.outputs["Alias"].endswith(":function:save:live")
    assert catalog.aliases["save:live"].version == "1"
    again = await applier.apply(load(SAM.format(timeout=3)))
    assert again.is_empty
    assert again.outputs == plan.outputs
    assert list(catalog.versions) == ["save:1"]
    revision = catalog.aliases["save:live"].revision_id

    plan = await applier.apply(load(SAM.format(timeout=9)))  # configuration
    assert actions(plan) == {"save": "update", "save:2": "create", "save:live": "update"}
    (folder / "code" / "app.py").write_text("handler = print\n")  # code
    await applier.apply(load(SAM.format(timeout=9)))
    assert list(catalog.versions) == ["save:1", "save:2", "save:3"]
    alias = catalog.aliases["save:live"]
    assert alias.version == "3"
    assert alias.revision_id != revision
    found = [look_up(catalog, "save", name).function for name in ("1", "2", "3", "live")]
    assert [one.timeout_s for one in found] == [3, 9, 9, 9]
    assert found[0].code_hash == found[1].code_hash != found[2].code_hash == found[3].code_hash


async def test_the_plan_tells_what_would_be_published(applier, load, catalog):
    await applier.apply(load(SAM.format(timeout=3)))
    plan = await applier.plan(load(SAM.format(timeout=9)))
    out = StringIO()
    print_plan(plan, Console(file=out, width=200))
    assert "save:2" in out.getvalue()
    found = [it for change in plan.changes for it in change.differences]
    told = {it.property: (it.before, it.after) for it in found}
    assert told["newest version"] == ("1", "2")
    assert told["FunctionVersion"] == ("1", "2")
    assert list(catalog.versions) == ["save:1"]


async def test_what_was_published_through_the_api_is_not_published_again(applier, load, catalog):
    await applier.apply(load(SAM.format(timeout=3).replace("AutoPublishAlias: live", "")
                             .partition("    Outputs")[0]))  # fmt: skip
    function = catalog.functions["save"]
    assert function.last_version == 0
    made = await publish(catalog.versions, function, None, 1)
    await catalog.commit(made.changes)
    plan = await applier.apply(load(SAM.format(timeout=3)))
    assert actions(plan) == {"save": "keep", "save:live": "create"}
    assert catalog.aliases["save:live"].version == "1"


async def test_a_version_of_its_own_is_published_once(applier, load, catalog):
    """As CloudFormation: another logical id is another version."""
    await applier.apply(load(plain("One")))
    plan = await applier.apply(load(plain("One", timeout=9)))
    assert actions(plan) == {"save": "update", "save:1": "keep", "save:live": "keep"}
    routing = (
        "RoutingConfig: {AdditionalVersionWeights: "
        "[{FunctionVersion: !GetAtt Two.Version, FunctionWeight: 0.25}]}"
    )
    await applier.apply(load(plain("One", "Two", timeout=9, routing=routing)))
    alias = catalog.aliases["save:live"]
    assert (alias.version, alias.weights) == ("1", {"2": 0.25})
    assert catalog.versions["save:2"].function.description == "as Two"
    assert (await applier.apply(load(plain("One", "Two", timeout=9, routing=routing)))).is_empty
    plan = await applier.apply(load(plain("Two", timeout=9, primary="Two")))
    assert actions(plan)["save:1"] == "delete"
    assert list(catalog.versions) == ["save:2"]


async def test_a_version_stays_as_long_as_an_alias_leads_to_it(applier, load, catalog):
    await applier.apply(load(plain("One")))
    other = catalog.aliases["save:live"]
    mine = msgspec.structs.replace(other, name="mine", owner=None)
    await catalog.commit([put("alias", "save:mine", mine)])
    plan = await applier.apply(load(plain("Two", timeout=4, primary="Two")))
    (kept,) = [change for change in plan.changes if change.name == "save:1"]
    assert (kept.action, kept.reason) == ("keep", "alias mine leads to it")
    assert set(catalog.versions) == {"save:1", "save:2"}


async def test_all_goes_with_the_function(applier, load, catalog):
    await applier.apply(load(SAM.format(timeout=3)))
    rest = "    Resources: {Q: {Type: AWS::SQS::Queue}}\n"
    await applier.apply(load(rest))
    assert not catalog.functions
    assert not catalog.versions
    assert not catalog.aliases


async def test_code_in_place_is_published_as_a_copy_and_only_the_newest_is_kept(
    make_applier, load, catalog, folder, tmp_path
):
    """`run`: each save publishes, and nothing piles up in the list."""
    applier = make_applier(InPlace(), keeps_versions=False)
    for number, text in enumerate(("x = 1\n", "x = 2\n"), 1):
        (folder / "code" / "app.py").write_text(text)
        await applier.apply(load(SAM.format(timeout=3)))
        assert list(catalog.versions) == [f"save:{number}"]
        frozen = look_up(catalog, "save", "live").function
        assert frozen.code_path.startswith(str(tmp_path / "copies"))
        with open(f"{frozen.code_path}/app.py") as file:
            assert file.read() == text
    assert catalog.functions["save"].is_in_place
    assert (await applier.apply(load(SAM.format(timeout=3)))).is_empty


async def test_versions_of_before_are_none_to_publish(applier, load, catalog):
    """An alias of the time when all led to `$LATEST` moves on."""
    await applier.apply(load(SAM.format(timeout=3)))
    old = msgspec.structs.replace(catalog.aliases["save:live"], version="$LATEST")
    await catalog.commit([put("alias", "save:live", old)])
    await applier.apply(load(SAM.format(timeout=3)))
    assert catalog.aliases["save:live"].version == "1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (plain("One", primary="None"), "refers to None"),
        (plain("One", routing="RoutingConfig: {AdditionalVersionWeights: ["
               "{FunctionVersion: '1', FunctionWeight: 1.5}]}"), "must be a number from 0 to 1"),
        (plain("One", routing="RoutingConfig: {AdditionalVersionWeights: ["
               "{FunctionVersion: x, FunctionWeight: 1}]}"), "'x' is no version"),
        (plain("One", routing="RoutingConfig: {AdditionalVersionWeights: ["
               "{FunctionVersion: !GetAtt One.Version, FunctionWeight: 1}]}"),
         "is the version the alias leads to already"),
        (plain("One").replace("FunctionVersion: !GetAtt One.Version", "FunctionVersion: $LATEST\n"
               "          RoutingConfig: {AdditionalVersionWeights: "
               "[{FunctionVersion: '1', FunctionWeight: 1}]}"), "both must be published"),
        (plain("One").replace("!Ref Save, Desc", "other, Desc"), "is not of this template"),
    ],
)  # fmt: skip
def test_refused_at_its_line(refuse, text, told):
    assert any(told in problem.text for problem in refuse(text))


async def test_a_version_that_does_not_exist_is_refused_when_it_is_planned(applier, load):
    text = plain("One").replace("FunctionVersion: !GetAtt One.Version", "FunctionVersion: '7'")
    plan = await applier.plan(load(text))
    assert [it.refusal for it in plan.refused] == ["function save has no version 7"]


PERMISSION = """\
      Allow:
        Type: AWS::Lambda::Permission
        Properties:
          FunctionName: !Ref {function}
          Action: lambda:InvokeFunction
          Principal: {principal}
          SourceArn: arn:aws:s3:::bucket
"""


def with_permission(function, principal="s3.amazonaws.com"):
    return plain("One").rstrip() + "\n" + PERMISSION.format(function=function, principal=principal)


@pytest.mark.parametrize(
    ("function", "qualifier"), [("Save", "$LATEST"), ("One", "1"), ("Live", "live")]
)
async def test_a_permission_is_a_statement_of_the_policy(
    applier, load, catalog, function, qualifier
):
    await applier.apply(load(with_permission(function)))
    (permission,) = policy_of(catalog.permissions, "save", qualifier)
    arn = "arn:aws:lambda:us-east-1:000000000000:function:save"
    assert permission.statement == {
        "Sid": permission.sid,
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": arn if qualifier == "$LATEST" else f"{arn}:{qualifier}",
        "Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"}},
    }
    assert permission.sid.startswith("shop-Allow-")
    assert (await applier.apply(load(with_permission(function)))).is_empty
    plan = await applier.apply(load(with_permission(function, "'*'")))
    assert {it.action for it in plan.changes} == {"keep", "update"}
    await applier.apply(load(plain("One")))
    assert not catalog.permissions


def test_a_permission_names_a_principal(refuse):
    told = [problem.text for problem in refuse(with_permission("Save", "nobody"))]
    assert told == ["'nobody' is no principal"]
