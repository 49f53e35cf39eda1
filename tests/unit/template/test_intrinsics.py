"""Intrinsic functions, with and without resources; whatever is written, only problems come out."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.template.conditions import Conditions
from router.template.intrinsics import NO_VALUE, Resolver
from router.template.load import load_template
from router.template.problems import Mark, Places, Problems, TemplateRefused
from router.template.read import SHORT_TAGS

VALUES = {"Name": "shop", "Count": 3, "List": ["a", "b"], "AWS::Region": "eu-west-1"}
MAPPINGS = {"Sizes": {"small": {"Memory": 128, "Zones": ["x"]}}}


class Things:
    def ref(self, logical_id, path):
        return f"physical-{logical_id}"

    def attribute(self, logical_id, name, path):
        return f"{name}-of-{logical_id}"


@pytest.fixture
def problems() -> Problems:
    return Problems(Places("t.yaml", {(): Mark(1, 1)}))


@pytest.fixture
def resolve(problems):
    def run(value, *, resources=True):
        conditions = {"Yes": True, "No": False}
        things = Things() if resources else None
        found = Resolver(VALUES, MAPPINGS, conditions, problems, things).resolve(value, ("R",))
        problems.raise_any()
        return found

    return run


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Ref": "Name"}, "shop"),
        ({"Ref": "Thing"}, "physical-Thing"),
        ({"Ref": "AWS::Region"}, "eu-west-1"),
        ({"Fn::GetAtt": ["Thing", "Arn"]}, "Arn-of-Thing"),
        ({"Fn::GetAtt": "Thing.A.B"}, "A.B-of-Thing"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Count"}, True]]}, "a-3-true"),
        ({"Fn::Join": [",", {"Ref": "List"}]}, "a,b"),
        ({"Fn::Select": [1, {"Ref": "List"}]}, "b"),
        ({"Fn::Select": ["0", ["x", {"Ref": "Thing"}]]}, "x"),
        ({"Fn::Split": ["/", {"Fn::Sub": "a/${Name}"}]}, ["a", "shop"]),
        ({"Fn::FindInMap": ["Sizes", "small", "Memory"]}, 128),
        ({"Fn::Base64": "abc"}, "YWJj"),
        ({"Fn::If": ["Yes", 1, {"Ref": "nowhere at all"}]}, 1),
        ({"a": {"Fn::If": ["No", 1, {"Ref": "AWS::NoValue"}]}, "b": 1}, {"b": 1}),
        ([1, {"Ref": "AWS::NoValue"}, 2], [1, 2]),
        ({"Fn::Sub": "${Name}:${Thing}:${Thing.Arn}"}, "shop:physical-Thing:Arn-of-Thing"),
        ({"Fn::Sub": "${!Kept}:$x:${Name}"}, "${Kept}:$x:shop"),
        ({"Fn::Sub": ["${A}-${Name}", {"A": {"Ref": "Count"}}]}, "3-shop"),
        ({"Condition": {"StringEquals": {"a": "b"}}}, {"Condition": {"StringEquals": {"a": "b"}}}),
    ],
)  # fmt: skip
def test_functions(value, expected, resolve):
    assert resolve(value) == expected
    # Before the SAM translation some of it stays; after, the result is the same.
    assert resolve(resolve(value, resources=False)) == expected


def test_what_waits_for_a_resource_stays(resolve):
    open_value = {"Fn::Join": ["-", [{"Ref": "Name"}, {"Ref": "Thing"}]]}
    assert resolve(open_value, resources=False) == {"Fn::Join": ["-", ["shop", {"Ref": "Thing"}]]}
    text = {"Fn::Sub": "${Name} ${Thing} ${!x}"}
    assert resolve(text, resources=False) == {"Fn::Sub": "shop ${Thing} ${!x}"}


def test_values_with_dollar_signs_survive_both_passes(problems):
    values = {"P": "${Thing} ${!y}"}
    first = Resolver(values, {}, {}, problems)
    second = Resolver(values, {}, {}, problems, Things())
    for text in ("${P}|${Thing}", "${P}"):
        found = second.resolve(first.resolve({"Fn::Sub": text}, ()), ())
        assert found == text.replace("${Thing}", "physical-Thing").replace("${P}", "${Thing} ${!y}")


def test_no_value_at_the_top(resolve):
    assert resolve({"Ref": "AWS::NoValue"}) is NO_VALUE


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"Ref": 1}, "Ref needs a name"),
        ({"Ref": "AWS::Regoin"}, "did you mean AWS::Region?"),
        ({"Fn::GetAtt": "Thing"}, "needs a resource and an attribute"),
        ({"Fn::Join": ["-", "x"]}, "needs a list of texts"),
        ({"Fn::Join": [1, []]}, "delimiter"),
        ({"Fn::Select": [2, ["a"]]}, "no item 2 in a list of 1"),
        ({"Fn::Select": [-1, ["a"]]}, "no item -1"),
        ({"Fn::Split": ["", "a"]}, "not empty"),
        ({"Fn::FindInMap": ["Sizes", "smal", "Memory"]}, "did you mean small?"),
        ({"Fn::FindInMap": ["Sizes", "small"]}, "a map and two keys"),
        ({"Fn::If": ["Maybe", 1, 2]}, "unknown condition Maybe"),
        ({"Fn::Sub": "${List}"}, "is not a text"),
        ({"Fn::Sub": "${}"}, "names nothing"),
        ({"Fn::Equals": [1, 1]}, "allowed in Conditions only"),
        ({"Fn::Cidr": []}, "not supported (there are no networks"),
        ({"Fn::ImportValue": "x"}, "use a parameter"),
        ({"Fn::Transform": {}}, "macros"),
        ({"Fn::ForEach::A": []}, "language extensions"),
        ({"Fn::Joyn": []}, "did you mean Fn::Join?"),
        ({"Fn::Join": [], "x": 1}, "must stand alone"),
    ],
)
def test_misuse_is_said(value, said, resolve):
    with pytest.raises(TemplateRefused) as caught:
        resolve({"property": value})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"Fn::Equals": [{"Ref": "Name"}, "shop"]}, True),
        ({"Fn::Equals": [{"Ref": "Count"}, "3"]}, True),
        ({"Fn::Not": [{"Condition": "Base"}]}, False),
        ({"Fn::And": [{"Condition": "Base"}, {"Fn::Equals": [1, 2]}]}, False),
        ({"Fn::Or": [{"Condition": "Base"}, {"Fn::Equals": [1, 2]}]}, True),
    ],
)
def test_conditions(condition, expected, problems):
    resolver = Resolver(VALUES, MAPPINGS, {}, problems)
    declared = {"C": condition, "Base": {"Fn::Equals": ["a", "a"]}}
    assert Conditions(declared, resolver, problems).all()["C"] is expected
    problems.raise_any()


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"A": {"Condition": "B"}, "B": {"Condition": "A"}}, "A → B → A"),
        ({"A": {"Condition": "Nope"}}, "unknown condition Nope"),
        ({"A": {"Fn::Equals": [{"Ref": "Thing"}, 1]}}, "cannot depend on resources"),
        ({"A": True}, "is not a condition"),
        ({"A": {"Fn::Not": []}}, "is not a condition"),
        ([], "must be a mapping of conditions"),
    ],
)
def test_bad_conditions(declared, said, problems):
    Conditions(declared, Resolver(VALUES, MAPPINGS, {}, problems), problems).all()
    with pytest.raises(TemplateRefused) as caught:
        problems.raise_any()
    assert said in str(caught.value)


NAMES = st.sampled_from(["Name", "List", "Q", "Nope", "AWS::Region", "AWS::NoValue", "Sizes", ""])
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-5, 10**12),
    st.text(max_size=5),
    NAMES,
    st.sampled_from(["${Name}", "${Q.Arn}", "${!x}", "${", "{{resolve:secretsmanager:a}}"]),
)
FUNCTIONS = st.sampled_from([*SHORT_TAGS.values(), "Fn::ForEach::X", "Fn::Nope"])
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["a", "Ref", "Key", "Value"]), inner, max_size=3),
        st.builds(lambda name, value: {name: value}, FUNCTIONS, inner),
        st.builds(lambda a, b: {"Fn::Sub": [a, {"x": b}]}, SCALARS, inner),
    ),
    max_leaves=12,
)
PROPERTIES = st.sampled_from(
    ["QueueName", "VisibilityTimeout", "Tags", "RedrivePolicy", "KmsMasterKeyId"]
)


@settings(max_examples=120, deadline=None)
@given(
    properties=st.dictionaries(PROPERTIES, TREES, max_size=3),
    condition=TREES,
    output=TREES,
    mapping=TREES,
)
def test_only_template_errors_come_out(properties, condition, output, mapping, tmp_path_factory):
    template = {
        "Parameters": {"Name": {"Type": "String", "Default": "n"}},
        "Mappings": {"Sizes": mapping},
        "Conditions": {"C": condition},
        "Resources": {
            "Q": {"Type": "AWS::SQS::Queue", "Properties": properties},
            "P": {"Type": "AWS::SQS::Queue", "Condition": "C", "Properties": properties},
        },
        "Outputs": {"O": {"Value": output}},
    }
    path = tmp_path_factory.mktemp("fuzz") / "template.json"
    path.write_text(json.dumps(template))
    try:
        state = load_template(path)
    except TemplateRefused as refused:
        lines = [problem.line for problem in refused.problems]
    else:
        lines = [1 for queue in state.queues if queue.arn]
    assert lines
    assert min(lines) >= 1
