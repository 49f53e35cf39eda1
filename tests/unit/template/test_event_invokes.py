"""Event-invoke configs and dead-letter queues in templates (`functions-and-invocation.md` 5.4)."""

import pytest

from router.model.event_invoke import EventInvoke
from router.model.resources import Function, Owner
from router.store.catalog import put
from tests.unit.template.test_urls import SAVE
from tests.unit.template.test_versions import actions, applier, catalog, make_applier

__all__ = ["applier", "catalog", "make_applier"]

QUEUE = "arn:aws:sqs:us-east-1:000000000000:told"

SAM = """\
    Transform: AWS::Serverless-2016-10-31
    Resources:
      Told:
        Type: AWS::SQS::Queue
        Properties: {QueueName: told}
      Save:
        Type: AWS::Serverless::Function
        Properties:
          FunctionName: save
          Runtime: python3.12
          Handler: app.handler
          CodeUri: ./code
          AutoPublishAlias: live
          DeadLetterQueue: {Type: SQS, TargetArn: !GetAtt Told.Arn}
          EventInvokeConfig:
            MaximumRetryAttempts: %d
            DestinationConfig:
              OnSuccess: {Type: SQS}
              OnFailure: {Type: SQS, Destination: !GetAtt Told.Arn}
    """

TOLD = """\
      Told:
        Type: AWS::SQS::Queue
        Properties: {QueueName: told}
"""

CONFIG = """\
      Config:
        Type: AWS::Lambda::EventInvokeConfig
        Properties: {FunctionName: !Ref Save, %s}
"""


async def test_sam_makes_config_queue_and_dead_letters(applier, load, catalog):
    await applier.apply(load(SAM % 1))
    config = catalog.event_invokes["save:live"]
    made = next(queue for name, queue in catalog.queues.items() if name != "told")
    assert config == EventInvoke(
        function="save", qualifier="live", retries_max=1, on_success=made.arn, on_failure=QUEUE,
        last_modified_ms=config.last_modified_ms,
        owner=Owner(config.owner.stack, "SaveEventInvokeConfig"),
    )  # fmt: skip
    assert catalog.functions["save"].dead_letter_arn == QUEUE
    plan = await applier.apply(load(SAM % 1))
    assert set(actions(plan).values()) == {"keep"}
    plan = await applier.plan(load(SAM % 0))
    (change,) = [change for change in plan.changes if change.action != "keep"]
    assert (change.kind, change.action) == ("event_invoke", "update")
    (difference,) = change.differences
    assert (difference.property, difference.before, difference.after) == (
        "MaximumRetryAttempts", "1", "0",
    )  # fmt: skip


async def test_a_config_goes_with_its_resource_and_with_its_function(applier, load, catalog):
    text = SAVE + CONFIG % "Qualifier: $LATEST, MaximumEventAgeInSeconds: 60"
    await applier.apply(load(text))
    assert catalog.event_invokes["save:$LATEST"].age_s_max == 60
    plan = await applier.apply(load(SAVE))
    assert actions(plan)["save:$LATEST"] == "delete"
    assert catalog.event_invokes == {}
    await applier.apply(load(text))
    await applier.apply(load("    Resources:\n" + TOLD))
    assert catalog.event_invokes == catalog.functions == {}


@pytest.mark.parametrize(
    ("more", "refusal"),
    [
        (CONFIG % "Qualifier: live, MaximumRetryAttempts: 1",
         "function save has no version or alias live"),
        (CONFIG % ("Qualifier: $LATEST, DestinationConfig: "
                   f"{{OnSuccess: {{Destination: '{QUEUE}'}}}}"),
         f"destination {QUEUE} does not exist"),
        (CONFIG % ("Qualifier: $LATEST, DestinationConfig: {OnFailure: {Destination: "
                   "'arn:aws:lambda:us-east-1:000000000000:function:nobody'}}"),
         "destination arn:aws:lambda:us-east-1:000000000000:function:nobody does not exist"),
        (f"          DeadLetterConfig: {{TargetArn: '{QUEUE}'}}\n",
         f"dead-letter queue {QUEUE} does not exist"),
    ],
)  # fmt: skip
async def test_what_is_not_there(applier, load, more, refusal):
    plan = await applier.plan(load(SAVE + more))
    assert [change.refusal for change in plan.refused] == [refusal]


FUNCTION = Function(
    name="f", runtime="python3.12", handler="a.b", role="r", code_path="/c", code_hash="h",
    last_modified_ms=0, revision_id="r", extra={"DeadLetterConfig": {"TargetArn": QUEUE}},
)  # fmt: skip
TELLING = EventInvoke(function="g", qualifier="live", on_success=QUEUE, last_modified_ms=0)


@pytest.mark.parametrize(
    ("change", "reader"),
    [
        (put("event_invoke", TELLING.name, TELLING), "the event-invoke config of g:live needs it"),
        (put("function", "f", FUNCTION), "function f sends its dead letters there"),
    ],
)
async def test_a_queue_that_is_told_does_not_go(applier, load, catalog, change, reader):
    await applier.apply(load("    Resources:\n" + TOLD))
    await catalog.commit([change])
    plan = await applier.plan(load("    Resources:\n" + TOLD.replace("told", "new")))
    assert [change.refusal for change in plan.refused] == [reader]


@pytest.mark.parametrize(
    ("properties", "place"),
    [
        ("MaximumRetryAttempts: 1", "Qualifier"),
        ("Qualifier: $LATEST, MaximumRetryAttempts: 3", "MaximumRetryAttempts"),
        ("Qualifier: $LATEST, MaximumEventAgeInSeconds: 59", "MaximumEventAgeInSeconds"),
        ("Qualifier: 'a b', MaximumRetryAttempts: 1", "Qualifier"),
        ("Qualifier: $LATEST, Retries: 1", "Retries"),
        ("Qualifier: $LATEST, DestinationConfig: {OnSuccess: {Destination: 'arn:aws:s3:::b'}}",
         "standard queue"),
        ("Qualifier: $LATEST, DestinationConfig: {OnFailure: {Destination: 'kafka://t'}}",
         "bucket"),
        ("Qualifier: $LATEST, DestinationConfig: {OnFailure: {Destination: !GetAtt Save.Arn}}",
         "itself"),
    ],
)  # fmt: skip
def test_what_cannot_be(refuse, properties, place):
    (problem,) = refuse(SAVE + CONFIG % properties)
    assert place in str(problem)


def test_dead_letters_go_to_standard_queues_and_topics(refuse):
    (problem,) = refuse(
        SAVE
        + "          DeadLetterConfig: {TargetArn: 'arn:aws:sqs:us-east-1:000000000000:q.fifo'}\n"
    )
    assert "standard SQS queue or SNS topic" in str(problem)
