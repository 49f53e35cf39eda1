"""Values, paths and answers of the protocols, over a small model and the real ones."""

import json
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.control import compact, model
from router.control.errors import ApiError, Malformed
from router.control.model import Member, Operation, ServiceModel, Shape
from router.control.protocol import aws_json, query, rest_json, wire
from router.control.protocol.paths import Routes
from router.control.protocol.wire import Request

SMALL = ServiceModel(
    protocol="rest-json",
    operations={
        "Get": Operation("GET", "/v1/things/{Name}", 200, "GetIn", "GetOut"),
        "Put": Operation("PUT", "/v1/things/{Name}", 201, "PutIn", "PutOut"),
        "List": Operation("GET", "/v1/things", 200, "ListIn", "GetOut"),
        "ListAll": Operation("GET", "/v1/things?List=ALL", 200, "ListIn", "GetOut"),
        "Special": Operation("GET", "/v1/things/special", 204, None, "Empty"),
    },
    shapes={
        "String": Shape(type="string"),
        "Integer": Shape(type="integer"),
        "Boolean": Shape(type="boolean"),
        "Blob": Shape(type="blob"),
        "Time": Shape(type="timestamp"),
        "Double": Shape(type="double"),
        "Strings": Shape(type="list", member=Member("String")),
        "Map": Shape(type="map", key=Member("String"), value=Member("Blob")),
        "Empty": Shape(type="structure"),
        "GetIn": Shape(
            type="structure",
            members={
                "Name": Member("String", "uri", "Name"),
                "Keys": Member("Strings", "querystring", "keys"),
                "Limit": Member("Integer", "querystring", "limit"),
                "Mode": Member("String", "header", "X-Mode"),
            },
        ),
        "ListIn": Shape(type="structure"),
        "PutIn": Shape(
            type="structure",
            members={
                "Name": Member("String", "uri", "Name"),
                "Data": Member("Blob"),
                "When": Member("Time"),
                "Flag": Member("Boolean"),
                "Count": Member("Integer"),
                "Ratio": Member("Double"),
                "Renamed": Member("String", None, "other-name"),
                "Map": Member("Map"),
                "Strings": Member("Strings"),
            },
        ),
        "PutOut": Shape(
            type="structure",
            members={
                "Status": Member("Integer", "statusCode"),
                "Mode": Member("String", "header", "X-Mode"),
                "Data": Member("Blob"),
                "Renamed": Member("String", None, "other-name"),
            },
        ),
        "GetOut": Shape(type="structure", members={"Payload": Member("Blob")}, payload="Payload"),
        "Gone": Shape(type="structure", members={"Message": Member("String")}, status=410),
        "Busy": Shape(
            type="structure",
            members={"message": Member("String"), "Wait": Member("String", "header", "X-Wait")},
            status=429,
        ),
    },
)
ROUTES = Routes(SMALL)


def bound(operation):
    return rest_json.bind(SMALL, SMALL.operations[operation])


def parse(operation, request, labels=None):
    return rest_json.parse(SMALL, bound(operation), request, labels or {})


def put(document):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse("Put", Request("PUT", "/", [], {}, body), {"Name": "n"})


@pytest.mark.parametrize(
    ("method", "path", "pairs", "found"),
    [
        ("GET", "/v1/things/a%2Fb%20c", [], ("Get", {"Name": "a/b c"})),
        ("GET", "/v1/things/a%252F", [], ("Get", {"Name": "a%2F"})),
        ("GET", "/v1/things/special", [], ("Special", {})),
        ("GET", "/v1/things/", [], ("List", {})),
        ("GET", "/v1/things", [("List", "ALL")], ("ListAll", {})),
        ("GET", "/v1/things", [("List", "NONE")], ("List", {})),
        ("POST", "/v1/things", [], None),
        ("GET", "/v1/things/a/b", [], None),
        ("GET", "/" + "a/" * 1000, [], None),
        ("GET", "/v1//things", [], None),
    ],
)
def test_paths(method, path, pairs, found):
    assert ROUTES.find(method, path, pairs) == found


def test_a_path_that_is_no_text():
    with pytest.raises(Malformed):
        ROUTES.find("GET", "/v1/things/%ff", [])


def test_parameters_from_everywhere():
    request = Request(
        "GET", "/", [("keys", "a"), ("limit", "3"), ("keys", "b")], {"x-mode": "m"}, b""
    )
    assert parse("Get", request, {"Name": "n"}).params == {
        "Name": "n",
        "Keys": ["a", "b"],
        "Limit": 3,
        "Mode": "m",
    }
    with pytest.raises(Malformed):
        parse("Get", Request("GET", "/", [("limit", "x")], {}, b""))


def test_parameters_from_the_body():
    parsed = put(
        {
            "Data": "AAE=",
            "When": 1.5,
            "Flag": True,
            "Count": 3.0,
            "Ratio": 2,
            "other-name": "r",
            "Map": {"k": "AQ=="},
            "Strings": ["a", None, 5],
            "Renamed": "not its name on the wire",
            "Future": {"a": [1]},
            "Name": None,
        }
    )
    assert parsed.params == {
        "Name": "n",
        "Data": b"\x00\x01",
        "When": 1.5,
        "Flag": True,
        "Count": 3,
        "Ratio": 2.0,
        "Renamed": "r",
        "Map": {"k": b"\x01"},
        "Strings": ["a", None, "5"],
    }
    assert parsed.unknown == ["Renamed", "Future", "Name"]


@pytest.mark.parametrize(
    "document",
    [
        b"{",
        b"[]",
        b'"text"',
        b"\xff",
        b"[" * 100_000,
        {"Data": "!"},
        {"Data": 1},
        {"Data": "AAE"},
        {"When": "yesterday"},
        {"When": True},
        {"Flag": "yes"},
        {"Count": "3"},
        {"Count": 1.5},
        {"Count": 1e30},
        {"Count": True},
        {"Map": []},
        {"Strings": "a"},
        {"Strings": [{"a": 1}]},
    ],
)
def test_bodies_that_are_not_what_the_model_says(document):
    with pytest.raises(Malformed):
        put(document)


def test_times_as_text():
    assert put({"When": "2026-07-01T10:00:00Z"}).params["When"] == 1782900000.0
    assert put({"When": "1.5"}).params["When"] == 1.5


@given(st.binary(max_size=200))
def test_any_body_parses_or_is_malformed(body):
    try:
        put(body)
    except Malformed:
        return


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Data", "When", "Count", "Map", "Strings", "x"]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(SMALL.shapes["PutIn"].members)), JSON))
def test_any_document_parses_or_is_malformed(document):
    try:
        put(document)
    except Malformed:
        return


def test_answers():
    result = {"Status": 202, "Mode": "m", "Data": b"\x00", "Renamed": "r", "Unknown": 1}
    reply = rest_json.serialize(SMALL, bound("Put"), result)
    assert reply.status == 202
    assert reply.headers["X-Mode"] == "m"
    assert json.loads(reply.body) == {"Data": "AA==", "other-name": "r"}
    reply = rest_json.serialize(SMALL, bound("Get"), {"Payload": b"raw"})
    assert reply.body == b"raw"
    reply = rest_json.serialize(SMALL, bound("Special"), {})
    assert (reply.status, reply.body, reply.headers) == (204, b"", {})


def test_errors_take_the_case_of_the_shape():
    gone = rest_json.error(SMALL, ApiError("Gone", "m"))
    assert (gone.status, json.loads(gone.body)) == (410, {"Type": "User", "Message": "m"})
    assert gone.headers["x-amzn-ErrorType"] == "Gone"
    busy = rest_json.error(SMALL, ApiError("Busy", "m", members={"Wait": "1", "Reason": "r"}))
    assert json.loads(busy.body) == {"Type": "User", "message": "m", "Reason": "r"}
    assert busy.headers["X-Wait"] == "1"
    other = rest_json.error(SMALL, ApiError("Other", "m", kind=None))
    assert (other.status, json.loads(other.body)) == (400, {"message": "m"})


def test_json_errors_carry_the_older_code():
    problem = ApiError("QueueDoesNotExist", "m", query_code="AWS.Gone")
    reply = aws_json.error(problem, "AmazonSQS", "1.0", None)
    assert json.loads(reply.body)["__type"] == "com.amazonaws.sqs#QueueDoesNotExist"
    assert reply.headers["x-amzn-query-error"] == "AWS.Gone;Sender"
    assert reply.headers["Content-Type"] == "application/x-amz-json-1.0"
    service = ApiError("Broken", "m", kind="Service", status=500, query_code="B")
    reply = aws_json.error(service, None, "1.1", None)
    assert (reply.status, reply.headers["x-amzn-query-error"]) == (500, "B;Receiver")


def test_query_answers_are_xml_with_everything_escaped():
    data, _version = model.source()
    sts = json.dumps(compact.compact(compact.read_model(data, "sts"), {}))
    service = __import__("msgspec").json.decode(sts, type=ServiceModel)
    operation = service.operations["GetCallerIdentity"]
    dialect = query.dialect_of("sts", service)
    reply = query.serialize(service, "GetCallerIdentity", operation, {"Arn": "<&>"}, "id", dialect)
    root = ET.fromstring(reply.body)
    name = "{https://sts.amazonaws.com/doc/2011-06-15/}"
    assert root.find(f"{name}GetCallerIdentityResult/{name}Arn").text == "<&>"
    reply = query.error(dialect, ApiError("No", "<no>"), "id")
    assert ET.fromstring(reply.body).find(f"{name}Error/{name}Message").text == "<no>"
    form = query.parse(service, operation, {"Action": "x", "Version": "1", "New": "v"}, dialect)
    assert (form.params, form.unknown) == ({}, ["New"])
    with pytest.raises(Malformed):
        query.fields(Request("POST", "/", [], {}, b"\xff"))
    with pytest.raises(Malformed):
        query.fields(Request("POST", "/", [], {}, b"a&" * 2_000))
    assert query.fields(Request("GET", "/", [("Action", "x")], {}, b"")) == {"Action": "x"}


def test_empty_bodies_are_empty_objects():
    assert wire.parse_json(b" \n") == {}
