"""Whole templates: what a user writes and what exists then."""

import textwrap
import uuid
from pathlib import Path

import msgspec
import pytest

from router.model.errors import ConfigError
from router.model.webhook import Deduplicate
from router.template.desired import DesiredState
from router.template.load import files_of, load_template
from router.template.names import stack_name_of
from router.template.problems import TemplateRefused

ORDERS = """\
    Transform: AWS::Serverless-2016-10-31
    Parameters:
      Stage: {Type: String, Default: dev, AllowedValues: [dev, prod]}
      Table: {Type: String}
    Conditions:
      IsProd: !Equals [!Ref Stage, prod]
    Mappings:
      Sizes:
        dev: {Memory: 128}
        prod: {Memory: 512}
    Globals:
      Function:
        Runtime: python3.11
        Timeout: 7
        Environment:
          Variables:
            STAGE: !Ref Stage
    Resources:
      Orders:
        Type: Router::Webhook
        Properties:
          Path: !Sub /in/${Stage}/orders
          Signature:
            Scheme: hmac-sha256
            Secret: ["{{resolve:secretsmanager:new}}", "{{resolve:ssm-secure:old}}"]
            Header: X-Signature
            Prefix: v1=
            Encoding: base64
            Template: "{timestamp}.{body}"
            TimestampHeader: X-Time
            ToleranceSeconds: 60
          PartitionKey: $.customer.id
          OnUnkeyable: Spread
          Shards: 2
          Deduplicate: {Key: header.X-Id, WindowSeconds: 3600}
          RetentionSeconds: 7200
          BodyBytesMax: 65536
      Save:
        Type: AWS::Serverless::Function
        Properties:
          CodeUri: code
          Handler: app.handler
          AutoPublishAlias: live
          MemorySize: !FindInMap [Sizes, !Ref Stage, Memory]
          Policies:
            - AmazonDynamoDBReadOnlyAccess
            - SQSSendMessagePolicy: {QueueName: !GetAtt Failed.QueueName}
          Environment:
            Variables:
              TABLE: !Ref Table
              TOKEN: "{{resolve:secretsmanager:api/token}}"
              QUEUE: !GetAtt Failed.Arn
              DEBUG: !If [IsProd, !Ref AWS::NoValue, "1"]
      SaveOrders:
        Type: AWS::Lambda::EventSourceMapping
        Properties:
          EventSourceArn: !GetAtt Orders.Arn
          FunctionName: !Ref Save.Alias
          BatchSize: 20
          MaximumBatchingWindowInSeconds: 1
          ParallelizationFactor: 4
          BisectBatchOnFunctionError: true
          MaximumRetryAttempts: 2
          MaximumRecordAgeInSeconds: 600
          TumblingWindowInSeconds: 120
          FunctionResponseTypes: [ReportBatchItemFailures]
          DestinationConfig:
            OnFailure: {Destination: !GetAtt Failed.Arn}
      Failed:
        Type: AWS::SQS::Queue
        DeletionPolicy: Retain
        Properties:
          VisibilityTimeout: 60
          RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3}
      Dead:
        Type: AWS::SQS::Queue
        Properties: {QueueName: !Sub "${AWS::StackName}-dead"}
      Audit:
        Type: AWS::SQS::Queue
        Condition: IsProd
    Outputs:
      Url: {Value: !GetAtt Orders.Url}
      Arn: {Value: !Join ["|", [!GetAtt Save.Arn, !Select [1, !Split [",", "a,b"]]]]}
      Audit: {Condition: IsProd, Value: !GetAtt Audit.Arn}
    """


@pytest.fixture
def orders(load) -> DesiredState:
    return load(ORDERS, {"Table": "orders"}, region="eu-west-1", account="123456789012")


def test_function_through_sam_with_globals_alias_and_references(orders, folder):
    (function,) = orders.functions
    assert function.name.startswith("shop-Save-")
    assert function.runtime == "python3.11"
    assert function.handler == "app.handler"
    assert (function.timeout_s, function.memory_mb) == (7, 128)
    assert function.code_path == str(folder / "code")
    (alias,) = orders.aliases
    (version,) = orders.versions
    assert (version.function, version.is_automatic) == (function.name, True)
    assert (alias.function, alias.name, alias.version) == (function.name, "live", version.token)
    assert function.role == f"arn:aws:iam::123456789012:role/{function.role.rpartition('/')[2]}"
    (failed,) = [queue for queue in orders.queues if queue.owner.logical_id == "Failed"]
    assert function.environment == {
        "STAGE": "dev",
        "TABLE": "orders",
        "TOKEN": "{{resolve:secretsmanager:api/token}}",
        "QUEUE": failed.arn,
        "DEBUG": "1",
    }


def test_mapping_carries_every_setting_and_the_alias(orders):
    (mapping,) = orders.mappings
    assert str(uuid.UUID(mapping.uuid)) == mapping.uuid
    assert mapping.name == "SaveOrders"
    assert mapping.function == orders.functions[0].name
    assert mapping.qualifier == "live"
    assert mapping.event_source_arn == orders.webhooks[0].spec.arn
    assert (mapping.batch_size, mapping.window_s, mapping.factor) == (20, 1, 4)
    assert (mapping.retries_max, mapping.record_age_s_max, mapping.is_bisecting) == (2, 600, True)
    assert mapping.tumbling_window_s == 120
    assert mapping.response_types == ("ReportBatchItemFailures",)
    assert mapping.destination_arn == orders.functions[0].environment["QUEUE"]
    assert mapping.starting_position == "TRIM_HORIZON"
    assert orders.enabled_unset == (mapping.uuid,)


def test_webhook_carries_every_setting(orders):
    spec = orders.webhooks[0].spec
    assert spec.name == "shop-Orders"
    assert spec.arn == "arn:aws:router:eu-west-1:123456789012:webhook/shop-Orders"
    assert spec.path == "/in/dev/orders"
    assert spec.signature.scheme == "hmac-sha256"
    assert spec.signature.secrets == (
        "{{resolve:secretsmanager:new}}",
        "{{resolve:ssm-secure:old}}",
    )
    assert spec.signature.header == "X-Signature"
    assert (spec.signature.prefix, spec.signature.encoding) == ("v1=", "base64")
    assert spec.signature.template == "{timestamp}.{body}"
    assert (spec.signature.timestamp_header, spec.signature.tolerance_s) == ("X-Time", 60)
    assert (spec.partition_key, spec.on_unkeyable, spec.shards) == ("$.customer.id", "Spread", 2)
    assert (spec.deduplicate.key, spec.deduplicate.window_s) == ("header.X-Id", 3600)
    assert (spec.retention_s, spec.body_bytes_max) == (7200, 65536)


def test_queues_conditions_and_outputs(orders):
    queues = {queue.owner.logical_id: queue for queue in orders.queues}
    assert set(queues) == {"Failed", "Dead"}
    assert queues["Dead"].name == "shop-dead"
    assert queues["Failed"].attributes == {
        "VisibilityTimeout": "60",
        "RedrivePolicy": '{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:shop-dead",'
        '"maxReceiveCount":3}',
    }
    function = orders.functions[0].name
    assert orders.outputs == {
        "Url": "http://127.0.0.1:8080/in/dev/orders",
        "Arn": f"arn:aws:lambda:eu-west-1:123456789012:function:{function}|b",
    }


def test_another_stage_takes_the_other_branch(load):
    prod = load(ORDERS, {"Table": "orders", "Stage": "prod"})
    assert {queue.owner.logical_id for queue in prod.queues} == {"Failed", "Dead", "Audit"}
    assert "DEBUG" not in prod.functions[0].environment
    assert prod.functions[0].memory_mb == 512
    assert prod.outputs["Audit"].startswith("arn:aws:sqs:us-east-1:000000000000:shop-Audit-")


def test_names_and_uuids_are_the_same_every_time(load):
    first, second = load(ORDERS, {"Table": "a"}), load(ORDERS, {"Table": "a"})
    assert first == second
    other = load(ORDERS, {"Table": "a"}, stack_name="other")
    assert other.mappings[0].uuid != first.mappings[0].uuid
    assert other.functions[0].name != first.functions[0].name


def test_resources_come_after_what_they_need(orders):
    order = [resource.owner.logical_id for _, _, resource in orders.resources()]
    assert {*order[:-3]} == {"Dead", "Failed", "Orders", "Save"}
    assert order.index("Dead") < order.index("Failed") < order.index("Save")
    assert order[-3].startswith("SaveVersion")
    assert order[-2:] == ["SaveAliaslive", "SaveOrders"]


def test_desired_state_crosses_the_wire_as_json(orders):
    wire = msgspec.json.encode(orders)
    assert msgspec.json.decode(wire, type=DesiredState) == orders


def test_secrets_stay_references(orders, monkeypatch):
    monkeypatch.setenv("ROUTER_SECRET_NEW", "s3cret")
    wire = msgspec.json.encode(orders)
    assert b"{{resolve:secretsmanager:new}}" in wire
    assert b"s3cret" not in wire


def test_plain_cloudformation_starts_no_child(load, monkeypatch):
    monkeypatch.setattr("router.template.sam.subprocess.run", None)
    state = load(
        """\
        Resources:
          Role:
            Type: AWS::IAM::Role
          Save:
            Type: AWS::Lambda::Function
            Properties:
              FunctionName: save
              Runtime: python3.12
              Handler: app.handler
              Role: !GetAtt Role.Arn
              Code: ./code
              Architectures: [arm64]
              EphemeralStorage: {Size: 1024}
              ReservedConcurrentExecutions: 0
              TracingConfig: {Mode: Active}
              LoggingConfig: {LogFormat: JSON, LogGroup: !Ref Logs, SystemLogLevel: WARN}
              Tags: [{Key: team, Value: shop}]
          Inline:
            Type: AWS::Lambda::Function
            Properties:
              Runtime: python3.12
              Handler: index.handler
              Role: arn:aws:iam::000000000000:role/x
              Code:
                ZipFile: |
                  def handler(event, context):
                      return 1
          Logs:
            Type: AWS::Logs::LogGroup
            Properties: {LogGroupName: /aws/lambda/save, RetentionInDays: 3}
          Permission:
            Type: AWS::Lambda::Permission
            Properties: {FunctionName: !Ref Save, Action: lambda:InvokeFunction, Principal: "*"}
        """
    )
    save = next(function for function in state.functions if function.name == "save")
    assert (save.architecture, save.ephemeral_mb, save.tags) == ("arm64", 1024, {"team": "shop"})
    logging = {"LogFormat": "JSON", "LogGroup": "/aws/lambda/save", "SystemLogLevel": "WARN"}
    assert save.extra == {"LoggingConfig": logging, "TracingConfig": {"Mode": "Active"}}
    inline = next(function for function in state.functions if function.name != "save")
    assert (save.reserved_concurrency, inline.reserved_concurrency) == (0, None)
    assert inline.code_path == ""
    assert state.inline_code[inline.name].text.startswith("def handler")
    text = "\n".join(state.warnings)
    assert [group.retention_days for group in state.log_groups] == [3]
    for part in ("Role: AWS::IAM::Role", "Save: TracingConfig"):
        assert part in text


def test_sam_events_of_a_webhook_make_a_mapping(load):
    state = load(
        """\
        Transform: AWS::Serverless-2016-10-31
        Resources:
          Hook:
            Type: Router::Webhook
            Properties: {Path: /h, Signature: {Scheme: none}}
          Save:
            Type: AWS::Serverless::Function
            Properties:
              InlineCode: "def handler(event, context): pass"
              Handler: index.handler
              Runtime: python3.13
              Events:
                Posts:
                  Type: Kinesis
                  Properties:
                    Stream: !GetAtt Hook.Arn
                    StartingPosition: LATEST
                    BatchSize: 3
        """
    )
    (mapping,) = state.mappings
    assert mapping.name == "SavePosts"
    assert (mapping.starting_position, mapping.batch_size) == ("LATEST", 3)
    assert list(state.inline_code) == [state.functions[0].name]


def test_json_with_tabs_is_a_template(folder):
    path = folder / "template.json"
    path.write_text('{\n\t"Resources": {\n\t\t"Q": {"Type": "AWS::SQS::Queue"}\n\t}\n}\n')
    assert load_template(path).queues[0].name.startswith("shop-Q-")


def test_a_webhook_alone_passes_the_sam_translation(load):
    state = load(
        """\
        Transform: AWS::Serverless-2016-10-31
        Resources:
          Hook:
            Type: Router::Webhook
            Properties: {Path: /h, Signature: {Scheme: none}}
        """
    )
    assert [webhook.spec.path for webhook in state.webhooks] == ["/h"]


def test_missing_handler_file_only_warns(load):
    state = load(
        """\
        Resources:
          F:
            Type: AWS::Lambda::Function
            Properties:
              Runtime: python3.12
              Handler: main.handler
              Role: arn:aws:iam::000000000000:role/x
              Code: ./code
        """
    )
    assert any("main.py" in warning for warning in state.warnings)


def test_secret_in_clear_is_warned_of(load):
    state = load(
        """\
        Resources:
          Hook:
            Type: Router::Webhook
            Properties: {Path: /h, Signature: {Scheme: github, Secret: abc}}
        """
    )
    assert state.webhooks[0].spec.signature.secrets == ("abc",)
    assert any("in clear" in warning for warning in state.warnings)


def test_the_example_is_a_template():
    path = Path("examples/webhooks/template.yaml")
    state = load_template(path)
    assert [function.name for function in state.functions] == ["github-events"]
    assert state.webhooks[0].spec.path == "/hooks/github"
    assert state.outputs["WebhookUrl"] == "http://127.0.0.1:8080/hooks/github"
    assert state.warnings == ()


def test_the_example_with_kafka_is_a_template():
    path = Path("examples/orders/template.yaml")
    state = load_template(path, {"BootstrapServers": "127.0.0.1:19092"})
    assert [function.name for function in state.functions] == ["billing", "shipping"]
    topic, queue = state.mappings
    assert (topic.bootstrap_servers, topic.topics) == (("127.0.0.1:19092",), ("orders",))
    assert queue.event_source_arn.endswith(":shipments.fifo")
    assert state.warnings == ()


def test_files_to_watch(load, folder):
    load(ORDERS, {"Table": "orders"})
    template = folder / "template.yaml"
    assert files_of(template, {"Table": "x"}) == {template, folder / "code"}
    template.write_text("Resources: [")
    assert files_of(template) == {template}


def test_a_linked_template_is_the_same_stack_wherever_the_link_leads(folder):
    """As in a mounted ConfigMap, whose links lead into another folder after each change."""
    text = "Resources: {Save: {Type: AWS::Lambda::Function, Properties: {CodeUri: ./code}}}"
    loaded = []
    mount = folder / "shop-mount"
    mount.mkdir()
    for generation in ("..2024_01", "..2024_02"):
        (mount / generation / "code").mkdir(parents=True)
        (mount / generation / "template.yaml").write_text(text)
        (mount / "fresh").symlink_to(generation)
        (mount / "fresh").rename(mount / "..data")
        for name in ("template.yaml", "code"):
            if not (mount / name).is_symlink():
                (mount / name).symlink_to(f"..data/{name}")
        template = mount / "template.yaml"
        loaded.append((stack_name_of(template), files_of(template)))
    assert loaded[0] == ("shop-mount", {mount / "template.yaml", mount / "code"})
    assert loaded[1] == loaded[0]
    assert stack_name_of(folder / "other" / ".." / "shop-mount" / "template.yaml") == "shop-mount"


def test_each_secret_that_is_nowhere_is_named_with_its_line(folder):
    (folder / "template.yaml").write_text(
        textwrap.dedent(
            """\
            Resources:
              Save:
                Type: AWS::Lambda::Function
                Properties:
                  Handler: app.handler
                  Runtime: python3.12
                  Role: arn:aws:iam::000000000000:role/r
                  Code: ./code
                  Environment:
                    Variables:
                      PLAIN: text
                      THERE: "{{resolve:secretsmanager:there}}"
                      GONE: "{{resolve:ssm-secure:gone}}"
              Hook:
                Type: Router::Webhook
                Properties:
                  Path: /h
                  Signature:
                    Scheme: github
                    Secret: ["{{resolve:secretsmanager:there}}", "{{resolve:secretsmanager:old}}"]
            """
        )
    )

    def secret_of(reference):
        if "there" not in reference:
            raise ConfigError(f"nowhere {reference}")

    template = folder / "template.yaml"
    assert load_template(template).functions
    with pytest.raises(TemplateRefused) as refused:
        load_template(template, secret_of=secret_of)
    assert [(p.line, p.resource, p.property) for p in refused.value.problems] == [
        (13, "Save", "Environment.Variables.GONE"),
        (20, "Hook", "Signature.Secret[1]"),
    ]


WEBHOOK = """
    Resources:
      Hook:
        Type: Router::Webhook
        Properties:
          Path: /h
          Signature: {{{signature}}}
          {more}
"""


def webhook(load, signature, more="Shards: 1"):
    return load(WEBHOOK.format(signature=signature, more=more)).webhooks[0].spec


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("github", ""),
        ("stripe", "ToleranceSeconds: 60"),
        ("slack", "ToleranceSeconds: 60"),
        ("shopify", ""),
        ("twilio", "PublicUrl: https://hooks.example.com/twilio"),
        ("svix", "ToleranceSeconds: 60"),
        ("standard-webhooks", "ToleranceSeconds: 60"),
        ("bearer", ""),
        ("hmac-sha1", "Header: X-Sig"),
        ("hmac-sha512", "Header: X-Sig"),
    ],
)
def test_every_scheme_with_its_options(load, scheme, options):
    secret = 'Secret: "{{resolve:secretsmanager:hook}}"'
    spec = webhook(load, f"Scheme: {scheme}, {secret}" + (f", {options}" if options else ""))
    assert spec.signature.scheme == scheme
    assert spec.signature.tolerance_s == (60 if "Tolerance" in options else 300)
    assert spec.signature.public_url == (
        "https://hooks.example.com/twilio" if scheme == "twilio" else None
    )


def test_a_webhook_of_cloudevents(load):
    spec = webhook(
        load,
        'Scheme: bearer, Secret: "{{resolve:secretsmanager:hook}}"',
        "Format: CloudEvents\n          AllowedOrigins: [a.example, 'b.example:8443']\n"
        "          RatePerMinute: 120\n          PartitionKey: cloudevent.subject\n"
        "          Deduplicate: {WindowSeconds: 60}",
    )
    assert (spec.form, spec.per_minute_max) == ("CloudEvents", 120)
    assert spec.allowed_origins == ("a.example", "b.example:8443")
    assert spec.deduplicate == Deduplicate(key=("cloudevent.source", "cloudevent.id"), window_s=60)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("{}", "$.event_id"),
        ("{Key: form.MessageSid}", "form.MessageSid"),
        ("{Key: [form.MessageSid, form.MessageStatus]}", ("form.MessageSid", "form.MessageStatus")),
    ],
)
def test_keys_of_repetitions(load, given, key):
    spec = webhook(
        load, 'Scheme: slack, Secret: "{{resolve:secretsmanager:s}}"', f"Deduplicate: {given}"
    )
    assert spec.deduplicate.key == key


PUSHES = '{"body": {"ref": [{"prefix": "refs/tags/"}]}}'
FILTERED = """\
    Transform: AWS::Serverless-2016-10-31
    Parameters:
      Kind: {Type: String, Default: ping}
    Resources:
      Hook:
        Type: Router::Webhook
        Properties: {Path: /h, Signature: {Scheme: none}}
      Save:
        Type: AWS::Serverless::Function
        Properties:
          Runtime: python3.12
          Handler: app.handler
          CodeUri: ./code
          Events:
            Pushes:
              Type: Kinesis
              Properties:
                Stream: !GetAtt Hook.Arn
                StartingPosition: LATEST
                FilterCriteria:
                  Filters:
                    - Pattern: '{"body": {"ref": [{"prefix": "refs/tags/"}]}}'
                    - Pattern: !Sub '{"headers": {"x-github-event": ["${Kind}"]}}'
    """


def test_filters_of_a_function_event(load):
    """SAM's own events are how most people write filters; the text stays as it is written."""
    (mapping,) = load(FILTERED).mappings
    assert mapping.filters == (PUSHES, '{"headers": {"x-github-event": ["ping"]}}')
    assert mapping.starting_position == "LATEST"
