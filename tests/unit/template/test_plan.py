"""Plans against a real catalog on a real store: what changes, what is refused, what is kept."""

import json
import re
import textwrap
from io import StringIO

import msgspec
import pytest
from rich.console import Console

from router.config import StoreSettings
from router.functions.packages import CodeStore
from router.model import limits
from router.model.errors import NotEmpty, ShardClosed
from router.model.hosting import Hosting
from router.model.progress import LaneProgress, ProgressUpdate
from router.model.resources import Owner, Queue
from router.model.shard import cut_anew, first_shards, shard_id
from router.model.source_kind import SourceKind
from router.store.base import DropProgress, EnqueuedMessage, NewRecord
from router.store.catalog import Catalog, put
from router.store.queues import NewMessage
from router.store.sqlite import SqliteStore
from router.template.apply import Applier
from router.template.code import InPlace
from router.template.differences import Difference
from router.template.holdings import holdings_of
from router.template.plan import PlanRefused
from router.template.plan_document import plan_document
from router.template.render import print_plan
from tests.unit.template.appliers import applier_of
from tests.unit.template.texts import SAVE

ARN = "arn:aws:router:us-east-1:000000000000:webhook/shop-Hook"

TEMPLATE = """\
    Resources:
      Hook:
        Type: Router::Webhook
        Properties:
          Path: /h
          Signature: {Scheme: github, Secret: a-secret-in-clear}
          Shards: 2
      Save:
        Type: AWS::Lambda::Function
        Properties:
          FunctionName: save
          Runtime: python3.12
          Handler: app.handler
          Role: arn:aws:iam::000000000000:role/x
          Code: ./code
          Environment: {Variables: {TOKEN: one-token}}
      Map:
        Type: AWS::Lambda::EventSourceMapping
        Properties:
          EventSourceArn: !GetAtt Hook.Arn
          FunctionName: !Ref Save
          DestinationConfig: {OnFailure: {Destination: !GetAtt Failed.Arn}}
      Failed:
        Type: AWS::SQS::Queue
        Properties: {QueueName: failed}
    """


STEP = ProgressUpdate(shard="0", position=1, factor=1, lane=LaneProgress(0, 1))


def template_less(*names):
    """The template less some resources."""
    head, *parts = re.split(r"(?m)^      (?=\w+:$)", TEMPLATE)
    kept = [part for part in parts if part.split(":")[0] not in names]
    return "      ".join([head, *kept])


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path / "data", StoreSettings())
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def catalog(store):
    catalog = Catalog(store.metadata)
    await catalog.load()
    return catalog


@pytest.fixture
def applier(catalog, store, tmp_path):
    return applier_of(catalog, holdings_of(store, catalog, lambda: 0), tmp_path)


def actions(plan):
    return {change.logical_id: change.action for change in plan.changes}


def changed(plan):
    return {it.logical_id: it.action for it in plan.changes if it.action != "keep"}


async def post(store, shard="shardId-000000000000"):
    record = NewRecord(
        stream=ARN, shard=shard, event_id="e", key="k", arrival_ms=1, data=b"x", size_bytes=1
    )
    await store.streams.append(record)


async def test_first_apply_makes_everything(applier, load, catalog, folder):
    plan = await applier.apply(load(TEMPLATE))
    assert actions(plan) == dict.fromkeys(["Hook", "Save", "Failed", "Map"], "create")
    save = catalog.functions["save"]
    assert (save.code_path, save.is_in_place) == (str(folder / "code"), True)
    assert len(save.code_hash) == 64
    assert save.revision_id
    assert catalog.webhooks["shop-Hook"].owner == Owner("shop", "Hook")
    stack = catalog.stacks["shop"]
    assert stack.members["Failed"] == ("queue", "failed")
    assert stack.template_path == str(folder / "template.yaml")


async def test_second_apply_changes_nothing(applier, load, catalog):
    await applier.apply(load(TEMPLATE))
    before = dict(catalog.functions), dict(catalog.mappings), dict(catalog.stacks)
    plan = await applier.apply(load(TEMPLATE))
    assert plan.is_empty
    assert plan.catalog_changes == ()
    assert (catalog.functions, catalog.mappings, catalog.stacks) == before


async def test_what_was_applied_is_there_after_a_restart(applier, load, catalog, store):
    await applier.apply(load(TEMPLATE))
    again = Catalog(store.metadata)
    await again.load()
    assert again.mappings == catalog.mappings
    assert again.functions == catalog.functions


async def test_code_change_is_an_update_with_a_new_revision(applier, load, catalog, folder):
    await applier.apply(load(TEMPLATE))
    before = catalog.functions["save"]
    (folder / "code" / "app.py").write_text("def handler(event, context):\n    return 2\n")
    plan = await applier.apply(load(TEMPLATE))
    assert changed(plan) == {"Save": "update"}
    (difference,) = [it for change in plan.changes for it in change.differences]
    assert difference.property == "Code"
    after = catalog.functions["save"]
    assert after.code_hash != before.code_hash
    assert after.revision_id != before.revision_id


async def test_the_same_code_in_place_or_in_a_snapshot_is_no_change(
    applier, load, catalog, store, tmp_path, folder
):
    await applier.apply(load(TEMPLATE))
    code = CodeStore(tmp_path / "snapshots")
    holds = holdings_of(store, catalog, int)
    other = Applier(catalog, code.snapshot, holds, tmp_path, int, codes=code)
    assert (await other.plan(load(TEMPLATE))).is_empty
    (folder / "code" / "app.py").write_text("def handler(event, context):\n    return 3\n")
    plan = await other.apply(load(TEMPLATE))
    assert Difference("Code used in place", "true", "false") in [
        it for change in plan.changes for it in change.differences
    ]
    assert catalog.functions["save"].code_path.startswith(str(tmp_path / "snapshots"))
    assert (await applier.plan(load(TEMPLATE))).is_empty, "a snapshot of it is as good"


async def test_the_same_code_in_another_folder_is_a_change(applier, load, catalog, folder):
    await applier.apply(load(TEMPLATE))
    (folder / "moved").mkdir()
    (folder / "moved" / "app.py").write_bytes((folder / "code" / "app.py").read_bytes())
    plan = await applier.apply(load(TEMPLATE.replace("./code", "./moved")))
    assert not plan.is_empty
    assert catalog.functions["save"].code_path == str(folder / "moved")


async def test_mapping_keeps_its_uuid_and_its_switch(applier, load, catalog):
    await applier.apply(load(TEMPLATE))
    (mapping,) = catalog.mappings.values()
    off = msgspec.structs.replace(mapping, is_enabled=False)
    await catalog.commit([put("mapping", mapping.uuid, off)])
    text = TEMPLATE.replace(
        "FunctionName: !Ref Save\n", "FunctionName: !Ref Save\n          BatchSize: 5\n"
    )
    plan = await applier.apply(load(text))
    assert changed(plan) == {"Map": "update"}
    after = catalog.mappings[mapping.uuid]
    assert (after.batch_size, after.is_enabled) == (5, False)
    explicit = text.replace("BatchSize: 5", "Enabled: true")
    await applier.apply(load(explicit))
    assert catalog.mappings[mapping.uuid].is_enabled


async def test_loops_and_runtimes_are_as_the_template_or_the_api_said(applier, load, catalog):
    """What a template does not say stays (`RecursiveLoop`, `RuntimeManagementConfig`)."""
    plain = await applier.apply(load(TEMPLATE))
    assert catalog.functions["save"].recursive_loop == "Terminate"
    before = msgspec.structs.replace(
        catalog.functions["save"], recursive_loop="Allow",
        runtime_management={"1": {"UpdateRuntimeOn": "FunctionUpdate"}},
    )  # fmt: skip
    await catalog.commit([put("function", "save", before)])
    assert (await applier.apply(load(TEMPLATE))).is_empty
    assert catalog.functions["save"].recursive_loop == "Allow"
    runtime = f"arn:aws:lambda:us-east-1::runtime:{'0' * 64}"
    said = TEMPLATE.replace(
        "Code: ./code\n",
        "Code: ./code\n"
        "          RecursiveLoop: Terminate\n"
        "          RuntimeManagementConfig:\n"
        f"            {{UpdateRuntimeOn: Manual, RuntimeVersionArn: '{runtime}'}}\n",
    )
    plan = await applier.apply(load(said))
    differences = {it.property: it for change in plan.changes for it in change.differences}
    assert differences["RecursiveLoop"] == Difference("RecursiveLoop", "Allow", "Terminate")
    assert "RuntimeManagementConfig.$LATEST" in differences
    after = catalog.functions["save"]
    assert after.recursive_loop == "Terminate"
    manual = {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": runtime}
    assert after.runtime_management == {**before.runtime_management, "$LATEST": manual}
    assert (await applier.apply(load(said))).is_empty
    assert plain.warnings == plan.warnings, "neither is without effect"


async def test_filters_that_change_are_shown_where_they_differ(applier, load, catalog):
    def with_filters(*patterns):
        filters = ", ".join(f"{{Pattern: '{pattern}'}}" for pattern in patterns)
        lines = f"FunctionName: !Ref Save\n          FilterCriteria: {{Filters: [{filters}]}}\n"
        return load(TEMPLATE.replace("FunctionName: !Ref Save\n", lines))

    async def told(*patterns):
        plan = await applier.apply(with_filters(*patterns))
        return {it.property: (it.before, it.after) for c in plan.changes for it in c.differences}

    await applier.apply(load(TEMPLATE))
    first, second = '{"path":["/a"]}', '{"path":["/b"]}'
    assert await told(first) == {"FilterCriteria.Filters.1": (None, first)}
    assert await told(first, second) == {"FilterCriteria.Filters.2": (None, second)}
    long = '{"path":[' + '"/long",' * 40 + '"/%s"]}'
    await told(long % "a", second)
    ((before, after),) = (await told(long % "b", second)).values()
    assert (before[-5:], after[-5:]) == ('/a"]}', '/b"]}')
    assert before.startswith("…")
    assert len(before) < 120
    (mapping,) = catalog.mappings.values()
    assert mapping.filters == (long % "b", second)
    assert set(await told()) == {"FilterCriteria.Filters.1", "FilterCriteria.Filters.2"}
    assert next(iter(catalog.mappings.values())).filters == ()


async def test_secret_values_are_in_no_plan(applier, load):
    await applier.apply(load(TEMPLATE))
    text = TEMPLATE.replace("one-token", "two-token").replace("a-secret-in-clear", "b-secret")
    plan = await applier.plan(load(text))
    found = {it.property: (it.before, it.after) for c in plan.changes for it in c.differences}
    hidden = ("(not shown)", "(not shown)")
    assert found == {"Environment.Variables.TOKEN": hidden, "Signature.Secret": hidden}
    shown = StringIO()
    print_plan(plan, Console(file=shown, width=200))
    for secret in ("one-token", "two-token", "a-secret-in-clear", "b-secret"):
        assert secret not in json.dumps(plan_document(plan))
        assert secret not in shown.getvalue()


async def test_empty_queue_and_stream_go_with_their_mapping(applier, load, catalog):
    await applier.apply(load(TEMPLATE))
    only_function = TEMPLATE.partition("      Map:")[0].replace("Hook", "Other")
    plan = await applier.apply(load(only_function.replace("/h", "/other")))
    assert changed(plan) == {
        "Other": "create",
        "Map": "delete",
        "Hook": "delete",
        "Failed": "delete",
    }
    assert not catalog.mappings
    assert not catalog.queues
    assert set(catalog.webhooks) == {"shop-Other"}


async def test_queue_that_holds_messages_stays(applier, load, catalog, store):
    await applier.apply(load(TEMPLATE))
    message = NewMessage(
        queue="failed", message_id="m", body="b", sent_ms=0, visible_ms=0, expires_ms=10**12
    )
    await store.queues.send([message])
    without = TEMPLATE.partition("      Failed:")[0].replace(
        "          DestinationConfig: {OnFailure: {Destination: !GetAtt Failed.Arn}}\n", ""
    )
    with pytest.raises(PlanRefused, match=r"queue Failed: it holds 1 records.*--allow-data-loss"):
        await applier.apply(load(without))
    assert "failed" in catalog.queues
    (mapping,) = catalog.mappings.values()
    assert mapping.destination_arn is not None, "nothing of a refused plan is done"
    plan = await applier.apply(load(without), allow_data_loss=True)
    assert changed(plan) == {"Map": "update", "Failed": "delete"}
    assert (await store.queues.counts("failed", 0)).visible == 0


@pytest.mark.parametrize(
    ("destination", "is_there"),
    [
        ("arn:aws:s3:::elsewhere", True),
        ("arn:aws:sns:eu-west-1:111122223333:elsewhere", True),
        ("!GetAtt Save.Arn", True),
        ("arn:aws:lambda:us-east-1:000000000000:function:none", False),
        ("arn:aws:sqs:us-east-1:000000000000:none", False),
    ],
)
async def test_a_destination_of_this_router_must_be_there(applier, load, destination, is_there):
    desired = load(TEMPLATE.replace("!GetAtt Failed.Arn", destination))
    if is_there:
        await applier.apply(desired)
    else:
        with pytest.raises(PlanRefused, match="destination does not exist"):
            await applier.apply(desired)


async def test_queues_of_aws_are_not_looked_for(catalog, store, load, tmp_path):
    elsewhere = "arn:aws:sqs:eu-west-1:111122223333:none"
    desired = load(TEMPLATE.replace("!GetAtt Failed.Arn", elsewhere), has_queues=False)
    hosting, holds = Hosting(has_queues=False), holdings_of(store, catalog, lambda: 0)
    await applier_of(catalog, holds, tmp_path, hosting).apply(desired)
    (mapping,) = catalog.mappings.values()
    assert mapping.destination_arn == elsewhere


async def test_stream_that_holds_records_stays(applier, load, catalog, store):
    await applier.apply(load(TEMPLATE))
    await post(store)
    without = TEMPLATE.replace("Hook", "Renamed").replace("/h", "/renamed")
    with pytest.raises(PlanRefused, match="webhook Hook: it holds 1 records"):
        await applier.apply(load(without))
    assert set(catalog.webhooks) == {"shop-Hook"}
    plan = await applier.apply(load(without), allow_data_loss=True)
    assert changed(plan) == {"Renamed": "create", "Map": "replace", "Hook": "delete"}


async def test_p28_shards_change_while_the_stream_holds_records(applier, load, catalog, store):
    await applier.apply(load(TEMPLATE))
    await post(store, shard_id(0))
    plan = await applier.apply(load(TEMPLATE.replace("Shards: 2", "Shards: 4")))
    (change,) = [change for change in plan.changes if change.action != "keep"]
    assert (change.action, change.reason) == ("update", "Shards 2 → 4: closes 2, opens 4")
    assert [(it.property, it.before, it.after) for it in change.differences] == [
        ("Shards", "2", "4")
    ]
    spec = catalog.webhooks["shop-Hook"].spec
    assert spec.shards == 4
    assert spec.lineage == cut_anew(first_shards(2), 4)
    assert sum(1 for it in await store.streams.stats(ARN) if it.oldest_arrival_ms) == 1
    with pytest.raises(ShardClosed):
        await post(store, shard_id(1))
    await post(store, shard_id(5))
    assert (await applier.plan(load(TEMPLATE.replace("Shards: 2", "Shards: 4")))).is_empty
    plan = await applier.apply(load(TEMPLATE))
    assert [it.reason for it in plan.changes if it.reason] == ["Shards 4 → 2: closes 4, opens 2"]
    assert len(catalog.webhooks["shop-Hook"].spec.lineage) == 8


async def test_another_change_of_a_webhook_leaves_its_lineage_alone(applier, load, catalog):
    await applier.apply(load(TEMPLATE))
    three = TEMPLATE.replace("Shards: 2", "Shards: 3")
    await applier.apply(load(three))
    lineage = catalog.webhooks["shop-Hook"].spec.lineage
    await applier.apply(load(three.replace("/h", "/elsewhere")))
    spec = catalog.webhooks["shop-Hook"].spec
    assert (spec.path, spec.lineage) == ("/elsewhere", lineage)


async def test_closed_shards_that_wait_are_bounded(applier, load, catalog, monkeypatch):
    monkeypatch.setattr(limits, "SHARDS_CLOSED_MAX", 5)
    four = TEMPLATE.replace("Shards: 2", "Shards: 4")
    await applier.apply(load(TEMPLATE))
    await applier.apply(load(four))
    with pytest.raises(PlanRefused, match=r"there would be 6 closed shards, at most 5 may wait"):
        await applier.apply(load(TEMPLATE), allow_data_loss=True)
    assert catalog.webhooks["shop-Hook"].spec.shards == 4


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("webhook", template_less("Hook", "Map")),
        ("queue", template_less("Failed", "Map")),
    ],
    ids=["no webhook", "no queue"],
)
async def test_d1_what_comes_between_the_look_and_the_commit_is_not_lost(
    load, catalog, store, tmp_path, kind, text
):
    """A plan finds a stream or queue empty; it takes something in before all is committed."""
    look = holdings_of(store, catalog, lambda: 0)

    async def look_then_take_in(looked_at, name):
        found = await look(looked_at, name)
        if looked_at == kind == "webhook":
            await post(store)
        elif looked_at == kind:
            delivery = EnqueuedMessage(queue=name, body="a record given up")
            await store.progress.discard("m", STEP, None, delivery)
        return found

    applier = applier_of(catalog, look_then_take_in, tmp_path)
    await applier.apply(load(TEMPLATE))
    with pytest.raises(NotEmpty, match="has taken something in"):
        await applier.apply(load(text))
    assert catalog.webhooks["shop-Hook"].spec.shards == 2
    assert "failed" in catalog.queues
    assert await store.streams.stats(ARN) or await store.queues.peek("failed", 9)


async def test_a_mapping_cannot_begin_at_a_time_to_come(applier, load):
    """As the API says it; a mapping that has begun already is not looked at again."""
    start = """FunctionName: !Ref Save
          StartingPosition: AT_TIMESTAMP
          StartingPositionTimestamp: %s
"""
    for at_s, is_refused in ((4_102_444_800, True), (0.001, False), (4_102_444_800, False)):
        text = TEMPLATE.replace("FunctionName: !Ref Save\n", start % at_s)
        plan = await applier.plan(load(text))
        refusals = [it.refusal for it in plan.changes if it.refusal]
        expected = ["StartingPositionTimestamp cannot be in the future"] if is_refused else []
        assert refusals == expected
        if not is_refused:
            await applier.apply(load(text))


async def test_starting_position_counts_only_for_a_new_mapping(applier, load):
    await applier.apply(load(TEMPLATE))
    start = "FunctionName: !Ref Save\n          StartingPosition: LATEST\n"
    plan = await applier.apply(load(TEMPLATE.replace("FunctionName: !Ref Save\n", start)))
    (change,) = [change for change in plan.changes if change.action != "keep"]
    assert (change.action, change.logical_id) == ("update", "Map")
    assert change.reason == "a starting position counts only for a new mapping"
    assert not any(isinstance(it, DropProgress) for it in plan.catalog_changes)


async def test_what_the_api_made_is_untouched(applier, load, catalog):
    by_hand = Queue(
        name="failed", arn="arn:aws:sqs:us-east-1:000000000000:failed", created_s=1, modified_s=1
    )
    other = msgspec.structs.replace(by_hand, name="other")
    await catalog.commit([put("queue", "failed", by_hand), put("queue", "other", other)])
    with pytest.raises(PlanRefused, match="queue failed exists and was made through the API"):
        await applier.apply(load(TEMPLATE))
    await applier.apply(load(TEMPLATE.replace("QueueName: failed", "QueueName: mine")))
    assert catalog.queues["failed"] == by_hand
    assert catalog.queues["other"] == other


async def test_stacks_do_not_take_from_each_other(applier, load, catalog):
    await applier.apply(load(TEMPLATE))
    with pytest.raises(PlanRefused, match="belongs to stack shop"):
        await applier.apply(load(TEMPLATE, stack_name="second"))
    text = TEMPLATE.replace(": save", ": save2").replace(": failed", ": failed2")
    with pytest.raises(PlanRefused, match="webhook shop-Hook listens on /h already"):
        await applier.apply(load(text, stack_name="second"))
    await applier.apply(load(text.replace("/h", "/h2"), stack_name="second"))
    assert set(catalog.functions) == {"save", "save2"}


async def test_references_must_lead_somewhere(applier, load):
    text = """\
        Resources:
          Map:
            Type: AWS::Lambda::EventSourceMapping
            Properties:
              EventSourceArn: arn:aws:router:us-east-1:000000000000:webhook/shop-Hook
              FunctionName: FUNCTION
        """
    with pytest.raises(PlanRefused, match=r"stream .*shop-Hook does not exist"):
        await applier.apply(load(text, stack_name="other"))
    await applier.apply(load(TEMPLATE))
    with pytest.raises(PlanRefused, match="function FUNCTION does not exist"):
        await applier.apply(load(text, stack_name="other"))
    with pytest.raises(PlanRefused, match="maps the same source to the same function"):
        await applier.apply(load(text.replace("FUNCTION", "save"), stack_name="other"))


async def test_p5_one_stream_to_two_qualifiers_of_a_function_is_two_mappings(
    applier, load, catalog
):
    """As through the API: a function and its alias are told apart."""
    await applier.apply(load(TEMPLATE))
    text = """\
        Resources:
          Map:
            Type: AWS::Lambda::EventSourceMapping
            Properties:
              EventSourceArn: arn:aws:router:us-east-1:000000000000:webhook/shop-Hook
              FunctionName: save:$LATEST
        """
    await applier.apply(load(text, stack_name="other"))
    assert sorted(str(it.qualifier) for it in catalog.mappings.values()) == ["$LATEST", "None"]


async def test_webhook_another_stack_reads_stays(applier, load):
    await applier.apply(load(TEMPLATE))
    reader = TEMPLATE.replace("!GetAtt Hook.Arn", ARN).replace(": save", ": save2")
    reader = reader.replace(": failed", ": failed2").replace("/h", "/h2")
    await applier.apply(load(reader, stack_name="reader"))
    without = TEMPLATE.replace("Hook", "Renamed").replace("/h", "/renamed")
    with pytest.raises(PlanRefused, match=r"webhook Hook: mapping Map \(.*\) needs it"):
        await applier.apply(load(without))


async def test_inline_code_is_written_by_what_it_holds(applier, load, catalog, tmp_path):
    text = """\
        Resources:
          F:
            Type: AWS::Lambda::Function
            Properties:
              FunctionName: inline
              Runtime: python3.12
              Handler: index.handler
              Role: arn:aws:iam::000000000000:role/x
              Code: {ZipFile: "x = 1"}
        """
    await applier.apply(load(text))
    function = catalog.functions["inline"]
    assert not function.is_in_place
    assert function.code_path.startswith(str(tmp_path / "inline"))
    assert (tmp_path / "inline").joinpath(function.code_path, "index.py").read_text() == "x = 1"
    assert (await applier.plan(load(text))).is_empty


async def test_plan_for_people_and_programs(applier, load):
    plan = await applier.plan(load(TEMPLATE))
    shown = StringIO()
    print_plan(plan, Console(file=shown, width=300))
    lines = shown.getvalue().splitlines()
    assert "+ function save (Save)" in lines
    assert "4 to create." in lines
    document = plan_document(plan)
    assert document["changes"][0]["action"] == "create"
    assert (document["stack"], document["empty"], document["refused"]) == ("shop", False, 0)
    json.dumps(document)
    await applier.apply(load(TEMPLATE))
    shown = StringIO()
    print_plan(await applier.plan(load(TEMPLATE)), Console(file=shown, width=300))
    assert shown.getvalue().splitlines()[-1] == "Nothing to change."


async def test_folders_in_place_are_hashed_again_only_when_touched(folder):
    in_place = InPlace()
    first = await in_place(folder / "code")
    assert await in_place(folder / "code") is first
    (folder / "code" / "more.py").write_text(textwrap.dedent("x = 1"))
    second = await in_place(folder / "code")
    assert second.hash != first.hash


KAFKA = (
    SAVE
    + """\
      Map:
        Type: AWS::Lambda::EventSourceMapping
        Properties:
          SelfManagedEventSource: {Endpoints: {KafkaBootstrapServers: ['b-1:9092']}}
          Topics: [orders]
          SourceAccessConfigurations: [{Type: BASIC_AUTH, URI: kafka}]
          FunctionName: !Ref Save
          BatchSize: 10
    """
)


@pytest.mark.parametrize(
    ("old", "new", "action"),
    [
        ("[orders]", "[returns]", "replace"),
        ("b-1:9092", "b-2:9092", "replace"),
        ("BatchSize: 10", "SelfManagedKafkaEventSourceConfig: {ConsumerGroupId: g}", "replace"),
        ("BatchSize: 10", "BatchSize: 11", "update"),
        ("URI: kafka", "URI: broker", "update"),
    ],
)
async def test_another_topic_cluster_or_group_is_another_source(
    applier, load, catalog, monkeypatch, old, new, action
):
    monkeypatch.setattr("router.mapping.rules.check.RUN_HERE", frozenset(SourceKind))
    await applier.apply(load(KAFKA))
    (mapping,) = catalog.mappings.values()
    assert mapping.consumer_group == mapping.uuid
    assert mapping.created_ms > 0
    plan = await applier.plan(load(KAFKA.replace(old, new)))
    (change,) = [change for change in plan.changes if change.kind == "mapping"]
    assert change.action == action
    drops = [it for it in plan.catalog_changes if isinstance(it, DropProgress)]
    assert bool(drops) == (action == "replace")


FIFO = """
Resources:
  Orders:
    Type: AWS::SQS::Queue
    Properties:
      FifoQueue: true
      ContentBasedDeduplication: "true"
      DeduplicationScope: messageGroup
      FifoThroughputLimit: perMessageGroupId
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3}
      Tags: [{Key: team, Value: shop}]
  Dead:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: dead.fifo
      FifoQueue: true
      RedriveAllowPolicy: {redrivePermission: allowAll}
  Policy:
    Type: AWS::SQS::QueuePolicy
    Properties: {Queues: [!Ref Orders], PolicyDocument: {Statement: []}}
"""


async def test_fifo_queues_with_a_dead_letter_queue(applier, load, catalog):
    await applier.apply(load(FIFO))
    orders = next(it for it in catalog.queues.values() if it.name != "dead.fifo")
    assert re.fullmatch(r"shop-Orders-[A-Z0-9]{12}\.fifo", orders.name)
    assert orders.arn.endswith(f":{orders.name}")
    assert orders.tags == {"team": "shop"}
    assert {
        name: orders.attributes[name] for name in orders.attributes if "Redrive" not in name
    } == {
        "FifoQueue": "true",
        "ContentBasedDeduplication": "true",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
    }
    assert catalog.queues["dead.fifo"].attributes["FifoQueue"] == "true"
    assert set(changed(await applier.apply(load(FIFO))).values()) <= {"keep"}


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("allowAll", "denyAll", "RedriveAllowPolicy does not permit"),
        (
            "      QueueName: dead.fifo\n      FifoQueue: true\n",
            "      QueueName: dead\n",
            "must be of the same type",
        ),
    ],
)
async def test_a_dead_letter_queue_must_fit(applier, load, old, new, match):
    with pytest.raises(PlanRefused, match=match):
        await applier.apply(load(FIFO.replace(old, new)))


async def test_a_plan_speaks_of_mappings_in_the_templates_words(applier, load, monkeypatch):
    monkeypatch.setattr("router.mapping.rules.check.RUN_HERE", frozenset(SourceKind))
    await applier.apply(load(KAFKA))
    text = KAFKA.replace("BatchSize: 10", "ProvisionedPollerConfig: {MaximumPollers: 4}")
    text = text.replace("URI: kafka", "URI: broker")
    (change,) = [it for it in (await applier.plan(load(text))).changes if it.kind == "mapping"]
    assert {it.property: (it.before, it.after) for it in change.differences} == {
        "BatchSize": ("10", "100"),
        "ProvisionedPollerConfig.MinimumPollers": (None, "1"),
        "ProvisionedPollerConfig.MaximumPollers": (None, "4"),
        "SourceAccessConfigurations": (
            '[{"Type":"BASIC_AUTH","URI":"kafka"}]',
            '[{"Type":"BASIC_AUTH","URI":"broker"}]',
        ),
    }


QUEUED = """\
    Resources:
      Save:
        Type: AWS::Lambda::Function
        Properties:
          FunctionName: save
          Runtime: python3.12
          Handler: app.handler
          Role: arn:aws:iam::000000000000:role/x
          Code: ./code
          Timeout: 20
      Map:
        Type: AWS::Lambda::EventSourceMapping
        Properties:
          EventSourceArn: arn:aws:sqs:us-east-1:000000000000:jobs
          FunctionName: !Ref Save
    """

JOBS = """\
      Jobs:
        Type: AWS::SQS::Queue
        Properties: {QueueName: jobs, VisibilityTimeout: 19}
    """


async def test_a_mapping_of_a_queue_needs_the_queue_and_its_patience(applier, load):
    """1.5: the queue is there, and hides messages as long as the function may take."""
    with pytest.raises(PlanRefused, match=r"queue arn:aws:sqs:.*:jobs does not exist"):
        await applier.apply(load(QUEUED))
    with_queue = QUEUED.rstrip(" ") + JOBS
    text = "Queue visibility timeout: 19 seconds is less than Function timeout: 20 seconds"
    with pytest.raises(PlanRefused, match=text):
        await applier.apply(load(with_queue))
    await applier.apply(load(with_queue.replace("19", "20")))


async def test_a_queue_that_a_mapping_reads_does_not_go(applier, load):
    jobs = "    Resources:\n" + JOBS.replace("19", "30")
    await applier.apply(load(jobs, stack_name="queues"))
    await applier.apply(load(QUEUED))
    other = jobs.replace("QueueName: jobs", "QueueName: others").replace("Jobs:", "Others:")
    with pytest.raises(PlanRefused, match=r"mapping Map \(.*\) needs it"):
        await applier.apply(load(other, stack_name="queues"))
