"""What a resource policy says of a request to a function's URL."""

import pytest

from router.functions.url_policy import UrlPolicy, Visitor, matches
from router.model.permission import Permission

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"
US, OTHERS = "000000000000", "111111111111"
NOBODY = Visitor("10.1.2.3")
OURS = Visitor("10.1.2.3", US, f"arn:aws:iam::{US}:user/k")
THEIRS = Visitor("10.1.2.3", OTHERS, f"arn:aws:iam::{OTHERS}:user/k")


def allow(**members):
    base = {"Effect": "Allow", "Principal": "*", "Resource": ARN}
    return {**base, "Action": "lambda:*", **members}


def deny(**members):
    return {**allow(**members), "Effect": "Deny"}


def policy(*statements, is_signed=False):
    kept = [
        Permission(function="f", qualifier="$LATEST", sid=str(n), statement=one, place=n)
        for n, one in enumerate(statements)
    ]
    return UrlPolicy(kept, ARN, account=US, is_signed=is_signed)


URL = allow(
    Action="lambda:InvokeFunctionUrl",
    Condition={"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}},
)
RUN = allow(
    Action="lambda:InvokeFunction", Condition={"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}
)


@pytest.mark.parametrize(
    ("statements", "why_not"),
    [
        ([], "no statement allows lambda:InvokeFunctionUrl"),
        ([URL], "no statement allows lambda:InvokeFunction"),
        ([RUN], "no statement allows lambda:InvokeFunctionUrl"),
        ([URL, RUN], None),
        ([allow()], None),
        ([allow(Action=["lambda:GetFunction", "LAMBDA:invoke*"])], None),
        ([URL, RUN, deny(Action="lambda:InvokeFunction")],
         "a statement denies lambda:InvokeFunction"),
    ],
)  # fmt: skip
def test_both_actions_are_needed(statements, why_not):
    assert policy(*statements).why_not(NOBODY) == why_not


def test_who_has_signed_with_a_key_of_the_account_needs_no_statement():
    assert policy(is_signed=True).why_not(OURS) is None
    assert policy(deny(Principal={"AWS": US}), is_signed=True).why_not(OURS) is not None
    assert policy(is_signed=True).why_not(THEIRS) is not None
    both = [
        allow(Action="lambda:InvokeFunctionUrl", Principal={"AWS": f"arn:aws:iam::{OTHERS}:root"}),
        allow(Action="lambda:InvokeFunction", Principal={"AWS": [THEIRS.arn]}),
    ]
    assert policy(*both, is_signed=True).why_not(THEIRS) is None
    assert policy(both[0], is_signed=True).why_not(THEIRS) is not None


def test_the_way_of_signing_is_what_the_statement_says():
    assert policy(URL, RUN, is_signed=True).why_not(THEIRS) is not None


@pytest.mark.parametrize(
    ("members", "holds"),
    [
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"Service": "s3.amazonaws.com"}}, False),
        ({"Principal": {"AWS": US}}, False),
        ({"Principal": "lambda"}, False),
        ({"Resource": ARN + ":live"}, False),
        ({"Resource": ["arn:aws:s3:::b", "arn:aws:lambda:*:function:?"]}, True),
        ({"Condition": {"IpAddress": {"aws:SourceIp": ["192.168.0.0/16", "10.0.0.0/8"]}}}, True),
        ({"Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, False),
        ({"Condition": {"StringNotEquals": {"aws:SourceIp": ["10.1.2.4", "x"]}}}, True),
        ({"Condition": {"StringLike": {"aws:SourceIp": "10.*"}}}, True),
        ({"Condition": {"ArnLike": {"AWS:SourceArn": "*"}}}, False),
        ({"Condition": {"StringEqualsIfExists": {"aws:SourceAccount": "1"}}}, True),
        ({"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}, False),
        ({"Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": "false"}}}, False),
    ],
)
def test_conditions(members, holds):
    """Beside a statement for the other action; one that denies under it does the opposite."""
    other = allow(Action="lambda:InvokeFunctionUrl")
    mine = {"Action": "lambda:InvokeFunction", **members}
    assert (policy(other, allow(**mine)).why_not(NOBODY) is None) is holds
    assert (policy(allow(), deny(**mine)).why_not(NOBODY) is None) is not holds


@pytest.mark.parametrize(
    "condition",
    [
        {"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}},
        {"StringEquals": {"aws:SourceVpc": "vpc-1"}},
        {"ForAllValues:StringEquals": {"aws:SourceIp": "10.1.2.3"}},
        {"IpAddress": {"aws:SourceIp": "not-a-network"}},
        {"Bool": "true"},
        "nonsense",
    ],
)
def test_what_cannot_be_judged_allows_nothing_and_denies_everything(condition):
    assert policy(allow(Condition=condition)).why_not(NOBODY) is not None
    assert policy(allow(), deny(Condition=condition)).why_not(NOBODY) is not None


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("", "", True), ("*", "", True), ("a", "", False), ("a*c", "abbc", True),
        ("a*c", "abcd", False), ("a?c", "abc", True), ("a?c", "ac", False),
        ("*b*d*", "abcde", True), ("*a*a*a*b", "a" * 3_000, False),
    ],
)  # fmt: skip
def test_patterns(pattern, text, fits):
    assert matches(pattern, text) is fits
