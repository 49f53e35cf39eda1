"""Schemes by name: what is made, and what is refused before anything is."""

import pytest

from router.auth.signing import MESSAGES
from router.auth.webhooks import OPTIONS, SCHEMES, scheme_for, signature_problems
from router.model.errors import ConfigError
from router.model.webhook import Signature
from tests.unit.auth.heads import Head

GITHUB = Signature(scheme="github", secrets=("s",))
STANDARD = Signature(scheme="standard-webhooks", secrets=("s",))


def generic(**options):
    return Signature(**{"scheme": "hmac-sha256", "header": "h", "secrets": ("s",), **options})


def test_none_takes_everything():
    assert scheme_for(Signature(scheme="none"), []).refusal(Head({}), b"x", 0) is None


def test_nothing_proven_is_refused_by_every_scheme():
    for name in SCHEMES:
        signature = Signature(
            scheme=name, secrets=("s",), header="h", public_url="https://a.example/x"
        )
        scheme = scheme_for(signature, ["c2VjcmV0"])
        assert scheme.refusal(Head({}), b"{}", 0) in MESSAGES


def test_every_scheme_with_options_exists():
    assert set(OPTIONS) < set(SCHEMES)


@pytest.mark.parametrize(
    ("signature", "secrets", "text"),
    [
        (Signature(scheme="md5"), ["s"], "Scheme: 'md5' is not one of github, .*, none"),
        (GITHUB, [], "Secret: is required"),
        (GITHUB, ["a", ""], "Secret: is required"),
        (STANDARD, ["whsec_!!"], "base64"),
        (STANDARD, ["whsec_"], "base64"),
        (STANDARD, ["whpk_AAAA"], "Ed25519"),
        (Signature(scheme="svix", secrets=("s",)), ["whsk_AAAA"], "Ed25519"),
        (Signature(scheme="twilio", secrets=("s",)), ["s"], "PublicUrl: is required"),
        (generic(header=None), ["s"], "Header: is required"),
        (generic(encoding="x"), ["s"], "Encoding: must be"),
        (generic(template="x"), ["s"], "Template: does not sign"),
        (generic(template="{body}{what}"), ["s"], "Template: unknown field {what}"),
        (generic(template="{timestamp}{body}"), ["s"], "TimestampHeader: is required"),
        (generic(template="{id}{body}"), ["s"], "IdHeader: is required"),
        (generic(template="{id}{body}", id_header="i"), ["s"], "Template: has nothing that ends"),
        (generic(template="{body}{id}", id_header="i"), ["s"], "Template: has nothing that ends"),
        (generic(timestamp_header="t"), ["s"], "TimestampHeader: is not used"),
        (generic(id_header="t"), ["s"], "IdHeader: is not used"),
    ],
)
def test_what_could_never_work_is_refused_when_made(signature, secrets, text):
    with pytest.raises(ConfigError, match=text):
        scheme_for(signature, secrets)


def test_without_the_secrets_the_rest_is_checked():
    assert list(signature_problems(STANDARD, None)) == []
    assert list(signature_problems(Signature(scheme="none"), None)) == []
    options = [problem.option for problem in signature_problems(generic(secrets=()), None)]
    assert options == ["Secret"]


def test_an_error_never_shows_the_secret():
    with pytest.raises(ConfigError) as caught:
        scheme_for(STANDARD, ["whsec_?canary?"])
    assert "canary" not in str(caught.value)
