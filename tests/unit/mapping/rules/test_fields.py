"""Whatever the form of settings allows: the rules judge it, and make a mapping of the rest."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from router.control.lambda_service.mapping_shown import shown_mapping
from router.mapping.rules import check, kafka
from router.mapping.rules.fields import FIELDS, Block, Flag, Integer, ListOf, Text
from router.mapping.rules.settings import merged, settings_of, with_settings
from router.mapping.rules.source import source_kind
from router.mapping.rules.takes import ALL_TAKE, TAKES
from router.model.mapping_spec import spec_of
from router.model.resources import Mapping
from router.model.source_kind import SourceKind
from tests.unit.mapping.rules.sources import LEAST, NOW_S, QUEUE, TOPIC, UUID

TEXTS = [
    "", "a", "g1", "t1", "kafka://t", "b-1:9092", QUEUE, TOPIC, "arn:aws:lambda:r:a:function:f",
    '{"body": {"a": [1]}}', '{"data": ["x"]}', "{", "arn:aws:secretsmanager:r:a:secret:s",
]  # fmt: skip


def values_of(field):
    match field:
        case Flag():
            return st.booleans()
        case Integer(least, most):
            return st.sampled_from(sorted({least, min(most, max(least, 10)), most}))
        case Text(choices=choices):
            return st.sampled_from(choices or TEXTS)
        case ListOf(item, items_max):
            return st.lists(values_of(item), max_size=min(items_max, 3))
        case Block(members):
            return st.fixed_dictionaries(
                {}, optional={name: values_of(member) for name, member in members.items()}
            )


ANY = {name: values_of(field) for name, field in FIELDS.items() if name != "EventSourceArn"}
ANY["StartingPositionTimestamp"] = st.sampled_from([-1e300, 0, 1.5, NOW_S, 1e300])


@st.composite
def any_settings(draw):
    """The least a kind needs, with a few members more, mostly such as it takes."""
    kind = draw(st.sampled_from(sorted(LEAST)))
    taken = sorted((TAKES[SourceKind(kind)] | ALL_TAKE) & ANY.keys())
    names = draw(st.lists(st.sampled_from(taken), max_size=5, unique=True))
    if draw(st.integers(0, 4)) == 0:
        names += draw(st.lists(st.sampled_from(sorted(ANY)), max_size=2))
    return LEAST[kind] | {name: draw(ANY[name]) for name in names}


class Status(msgspec.Struct):
    state: str = "Enabled"
    transition_reason: str = ""
    last_processing_result: str = "OK"


@settings(max_examples=300, deadline=None)
@given(asked=any_settings(), change=any_settings())
def test_what_the_rules_take_makes_a_mapping_that_lasts(asked, change):
    """It can be stored, read, shown, run and changed; what it is asks for itself again."""
    if list(check.problems(asked, NOW_S)):
        return
    kind = source_kind(asked)
    if kafka.is_queue_mode(kind, asked):
        return  # refused by name: none is made
    bare = Mapping(uuid=UUID, name="m", function="f", last_modified_ms=1)
    mapping = with_settings(bare, kind, asked)
    assert msgspec.json.decode(msgspec.json.encode(mapping), type=Mapping) == mapping
    assert mapping.kind is kind
    assert list(check.problems(settings_of(mapping), NOW_S)) == []
    assert with_settings(mapping, kind, settings_of(mapping)) == mapping
    spec = spec_of(mapping, "us-east-1", "000000000000", 60_000)
    assert (spec.kind, spec.window_ms >= 0, spec.batch_size >= 1) == (kind, True, True)
    shown = shown_mapping(mapping, Status(), "us-east-1", "000000000000")
    assert msgspec.json.decode(msgspec.json.encode(shown)) == shown
    # An update knows no source of its own.
    update = {name: value for name, value in change.items() if name not in LEAST["kafka"]}
    update.pop("EventSourceArn", None)
    list(check.update_problems(mapping, update, merged(mapping, update)))
