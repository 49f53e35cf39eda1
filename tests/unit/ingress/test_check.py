"""The one check of a webhook before it is stored."""

import pytest

from router.ingress.check import webhook_problems
from router.model.webhook import Deduplicate, Signature, WebhookSpec


def problems(*, has_secrets=True, **options):
    options = {"signature": Signature(scheme="none"), **options}
    spec = WebhookSpec(name="x", arn="arn:x", path="/x", **options)
    return [".".join(one.place) for one in webhook_problems(spec, has_secrets=has_secrets)]


def test_good_ones():
    assert problems() == []
    assert problems(partition_key="form.From", deduplicate=Deduplicate(key="header.X")) == []
    assert problems(form="CloudEvents", allowed_origins=("a.example",)) == []
    assert problems(deduplicate=Deduplicate(key=("$.a", "cloudevent.id"))) == []


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ({"partition_key": "body"}, ["PartitionKey"]),
        ({"deduplicate": Deduplicate(key="$")}, ["Deduplicate.Key"]),
        ({"deduplicate": Deduplicate(key=("$.a", "$"))}, ["Deduplicate.Key"]),
        ({"deduplicate": Deduplicate(key=())}, ["Deduplicate.Key"]),
        ({"deduplicate": Deduplicate(key=("$.a",) * 5)}, ["Deduplicate.Key"]),
        ({"form": "Avro"}, ["Format"]),
        ({"allowed_origins": ("a.example",)}, ["AllowedOrigins"]),
        ({"signature": Signature(scheme="github")}, ["Signature.Secret"]),
        ({"signature": Signature(scheme="rot13", secrets=("a",))}, ["Signature.Scheme"]),
        (
            {"signature": Signature(scheme="hmac-sha1"), "partition_key": "x"},
            ["Signature.Header", "Signature.Secret", "PartitionKey"],
        ),
    ],
)
def test_everything_wrong_is_named(options, places):
    assert problems(**options) == places


def test_references_are_not_looked_at():
    signature = Signature(scheme="svix", secrets=("{{resolve:secretsmanager:svix}}",))
    assert problems(signature=signature, has_secrets=False) == []
    assert problems(signature=signature) == ["Signature.Secret"]
