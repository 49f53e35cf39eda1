"""URLs of functions in templates: made once, kept with their id, told to who asks."""

import re

import pytest

from router.functions.permissions import policy_of
from router.functions.url_policy import UrlPolicy, Visitor
from router.model.arn import function_arn
from router.model.function_url import Cors, FunctionUrl
from router.store.catalog import put
from tests.unit.template.test_versions import actions, applier, catalog, make_applier
from tests.unit.template.texts import SAVE

__all__ = ["applier", "catalog", "make_applier"]

SAM = """\
    Transform: AWS::Serverless-2016-10-31
    Resources:
      Save:
        Type: AWS::Serverless::Function
        Properties:
          FunctionName: save
          Runtime: python3.12
          Handler: app.handler
          CodeUri: ./code
          FunctionUrlConfig:
            AuthType: {auth}
            Cors:
              AllowOrigins: ["https://a.example.com"]
              AllowMethods: [GET]
              MaxAge: 5
      Other:
        Type: AWS::Serverless::Function
        Properties:
          FunctionName: other
          Runtime: python3.12
          Handler: app.handler
          CodeUri: ./code
          Environment: {{Variables: {{WHERE: !GetAtt SaveUrl.FunctionUrl}}}}
    Outputs:
      Url: {{Value: !GetAtt SaveUrl.FunctionUrl}}
    """

URL = """\
      Url:
        Type: AWS::Lambda::Url
        Properties: {TargetFunctionArn: !Ref Save, %s}
"""


async def test_a_url_is_made_once_and_told_to_who_asks(applier, load, catalog):
    plan = await applier.apply(load(SAM.format(auth="NONE")))
    url = catalog.function_urls["save:$LATEST"]
    assert re.fullmatch(r"[0-9a-z]{32}", url.id)
    assert not url.is_signed
    assert url.cors == Cors(origins=("https://a.example.com",), methods=("GET",), max_age_s=5)
    text = f"http://{url.id}.lambda-url.us-east-1.localhost:8080/"
    assert plan.outputs == {"Url": text}
    assert catalog.functions["other"].environment == {"WHERE": text}
    plan = await applier.apply(load(SAM.format(auth="NONE")))
    assert set(actions(plan).values()) == {"keep"}
    plan = await applier.apply(load(SAM.format(auth="AWS_IAM")))
    assert actions(plan)["save:$LATEST"] == "update"
    changed = catalog.function_urls["save:$LATEST"]
    assert (changed.id, changed.is_signed) == (url.id, True)
    assert plan.outputs == {"Url": text}


async def test_a_url_below_the_name_that_leads_here(applier, load, catalog):
    desired = load(SAM.format(auth="NONE"), url_base="https://fn.example.com")
    plan = await applier.apply(desired)
    url = catalog.function_urls["save:$LATEST"]
    assert plan.outputs == {"Url": f"https://{url.id}.lambda-url.us-east-1.fn.example.com/"}


async def test_a_url_goes_with_its_resource(applier, load, catalog):
    await applier.apply(load(SAVE + URL % "AuthType: NONE"))
    assert len(catalog.function_urls) == 1
    plan = await applier.apply(load(SAVE))
    assert actions(plan)["save:$LATEST"] == "delete"
    assert catalog.function_urls == {}


async def test_a_url_of_somebody_else_is_left_alone(applier, load, catalog):
    theirs = FunctionUrl(
        function="save", qualifier="$LATEST", id="x" * 32, is_signed=True, created_ms=1,
        modified_ms=1,
    )  # fmt: skip
    await catalog.commit([put("function_url", "save:$LATEST", theirs)])
    plan = await applier.plan(load(SAVE + URL % "AuthType: NONE"))
    assert "was made through the API" in plan.refused[0].refusal
    assert plan.catalog_changes == ()


async def test_an_alias_that_is_not_there(applier, load):
    plan = await applier.plan(load(SAVE + URL % "AuthType: NONE, Qualifier: live"))
    assert [change.refusal for change in plan.refused] == ["function save has no alias live"]


@pytest.mark.parametrize(
    ("properties", "place"),
    [
        ("AuthType: ANY", "AuthType"),
        ("AuthType: NONE, InvokeMode: FAST", "InvokeMode"),
        ("AuthType: NONE, Qualifier: '1'", "Qualifier"),
        ("AuthType: NONE, Cors: {AllowMethods: [get]}", "AllowMethods"),
        ("AuthType: NONE, Cors: {MaxAge: 86401}", "MaxAge"),
        ("AuthType: NONE, Cors: {Origins: []}", "Origins"),
        ("AuthType: NONE, Path: /x", "Path"),
        ("InvokeMode: BUFFERED", "AuthType"),
    ],
)
def test_what_cannot_be(refuse, properties, place):
    (problem,) = refuse(SAVE + URL % properties)
    assert place in str(problem)


PERMISSION = """\
      %s:
        Type: AWS::Lambda::Permission
        Properties: {FunctionName: !Ref Save, Principal: "*", %s}
"""


def why_not(catalog, name):
    """What the policy of a URL's function, or of its alias, says to who has not signed."""
    url = catalog.function_urls[name]
    arn = function_arn("us-east-1", "000000000000", url.function, url.qualifier)
    arn = arn.removesuffix(":$LATEST")
    policy = policy_of(catalog.permissions, url.function, url.qualifier)
    return UrlPolicy(policy, arn, account="000000000000", is_signed=False).why_not(Visitor("::1"))


@pytest.mark.parametrize("alias", ["", "AutoPublishAlias: live"])
async def test_a_url_of_sam_is_open_by_its_own_statements(applier, load, catalog, alias):
    text = SAM.format(auth="NONE").replace(
        "FunctionName: save", f"FunctionName: save\n          {alias}"
    )
    desired = load(text)
    assert not any("403" in warning for warning in desired.warnings)
    await applier.apply(desired)
    (name,) = catalog.function_urls
    assert name == ("save:live" if alias else "save:$LATEST")
    assert why_not(catalog, name) is None


async def test_a_plain_url_is_closed_until_statements_open_it(applier, load, catalog):
    desired = load(SAVE + URL % "AuthType: NONE")
    assert [text for text in desired.warnings if text.startswith("Url: AuthType NONE without")]
    await applier.apply(desired)
    assert why_not(catalog, "save:$LATEST") == "no statement allows lambda:InvokeFunctionUrl"
    both = PERMISSION % ("A", "Action: lambda:InvokeFunctionUrl, FunctionUrlAuthType: NONE")
    both += PERMISSION % ("B", "Action: lambda:InvokeFunction, InvokedViaFunctionUrl: true")
    desired = load(SAVE + URL % "AuthType: NONE" + both)
    assert not any("403" in warning for warning in desired.warnings)
    await applier.apply(desired)
    assert why_not(catalog, "save:$LATEST") is None
    assert not any("403" in text for text in load(SAVE + URL % "AuthType: AWS_IAM").warnings)
