"""Whatever is in a template's file, only `TemplateRefused` comes out, with lines in the file."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.template.load import load_template
from router.template.problems import TemplateRefused
from router.template.read import SHORT_TAGS, read_text
from router.template.resources import alias, function, mapping, queue, webhook

KNOWN = {
    "AWS::Lambda::Function": (*function._PROPERTIES, *function._WITHOUT_EFFECT),
    "AWS::Lambda::Alias": alias.LambdaAlias._PROPERTIES,
    "AWS::Lambda::Version": alias.LambdaVersion._PROPERTIES,
    "AWS::Lambda::EventSourceMapping": mapping._PROPERTIES,
    "AWS::SQS::Queue": queue._PROPERTIES,
    "Router::Webhook": webhook._PROPERTIES,
    "AWS::IAM::Role": ("RoleName", "Policies"),
}
MEMBERS = st.sampled_from(
    [
        "Variables", "Scheme", "Secret", "Header", "Template", "Key", "Value", "WindowSeconds",
        "OnFailure", "Destination", "ZipFile", "Size", "deadLetterTargetArn", "maxReceiveCount",
        "redrivePermission", "sourceQueueArns", "Ref", "Fn::GetAtt", "Fn::Sub", "Fn::If", "AB",
    ]
)  # fmt: skip
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-2, 10**14),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
    st.sampled_from(
        [
            "Q", "H", "F", "M", "Q.Arn", "H.Arn", "H.Url", "F.Arn", "${Q}", "${F.Arn}", "Yes",
            "github", "hmac-sha256", "standard-webhooks", "none", "whsec_xx", "$.a", "header.X",
            "{body}", "{{resolve:secretsmanager:a}}", "{{resolve:x}}", "python3.12", "a.b",
            "arn:aws:sqs:us-east-1:000000000000:q", "arn:aws:iam::000000000000:role/x", "/h",
            "save:live", "LATEST", "AT_TIMESTAMP", "1e999", "code", "-1", "true",
        ]
    ),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(MEMBERS, inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def resources(draw):
    kind = draw(st.sampled_from(sorted(KNOWN)))
    names = draw(st.lists(st.sampled_from(KNOWN[kind]), max_size=8, unique=True))
    return {"Type": kind, "Properties": {name: draw(TREES) for name in names}}


@settings(max_examples=150, deadline=None)
@given(
    made=st.dictionaries(st.sampled_from("QHFM"), resources(), min_size=1, max_size=4),
    output=TREES,
)
@example(
    made={
        "M": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "StartingPosition": "AT_TIMESTAMP",
                "StartingPositionTimestamp": "1e999",
            },
        }
    },
    output="x",
)
@example(made={"F": {"Type": "AWS::Lambda::Function", "Properties": {"Code": "a\0b"}}}, output="x")
@example(
    made={"F": {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": "a\0b"}}},
    output="x",
)
def test_any_properties(made, output, tmp_path_factory):
    template = {
        "Conditions": {"Yes": {"Fn::Equals": [1, 1]}},
        "Resources": made,
        "Outputs": {"O": {"Value": output}},
    }
    path = tmp_path_factory.mktemp("fuzz") / "template.json"
    path.write_text(json.dumps(template, indent=1))
    try:
        state = load_template(path)
        lines = [1 for _ in state.order]
    except TemplateRefused as refused:
        lines = [problem.line for problem in refused.problems]
    assert 1 <= min(lines) <= max(lines) <= path.read_text().count("\n") + 1


PIECES = st.sampled_from(
    [*(f"!{tag} " for tag in SHORT_TAGS), "a: ", "- ", "\n", "  ", "[", "]", "{", "}", ",", "&x ",
     "*x", "<<: ", '"', "'", "|\n", "x", "1", "~", "!!binary ", "%YAML 1.1\n", "---\n", "\t", "#",
     "? ", "\u2028", "\x00"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.lists(PIECES, max_size=30).map("".join).map(str.encode), st.binary(max_size=60))
)
def test_any_bytes(data):
    try:
        document = read_text(data, "t.yaml")
    except TemplateRefused as refused:
        assert refused.problems[0].line >= 1
    else:
        assert isinstance(document.value, dict)


def test_deep_json_is_refused(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('{"a":' * 5_000 + "1" + "}" * 5_000)
    with pytest.raises(TemplateRefused, match="deeper than 64"):
        load_template(path)
