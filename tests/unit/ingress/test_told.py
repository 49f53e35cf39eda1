"""What the ingress process is told of webhooks and their secrets."""

import pytest

from router.ingress.frames import Secret
from router.ingress.told import Told, look_up
from router.model.errors import ConfigError
from router.model.webhook import Signature
from tests.unit.ingress.test_webhooks import ARN, OPEN, spec


def resolve(text):
    match text:
        case "good":
            return "value"
        case "gone":
            raise ConfigError("secret gone is nowhere")
        case "binary":
            return b"\xff".decode()
        case _:
            raise OSError(5, "a secret path")


def hook(name, *secrets):
    return spec(name, signature=Signature(scheme="github", secrets=secrets))


def test_each_reference_has_a_value_or_a_reason_that_shows_nothing():
    assert look_up(["good", "gone", "binary", "unreadable"], resolve) == {
        "good": Secret("value"),
        "gone": Secret(None, "secret gone is nowhere"),
        "binary": Secret(None, "UnicodeDecodeError"),
        "unreadable": Secret(None, "OSError"),
    }


def test_only_what_changed_is_told():
    told = Told(resolve)
    first = told.set_webhooks([hook("a", "good"), hook("b", "gone")])
    assert [one.name for one in first.changed] == ["a", "b"]
    assert first.secrets.keys() == {"good", "gone"}
    assert told.set_webhooks([hook("a", "good"), hook("b", "gone")]) is None
    second = told.set_webhooks([hook("a", "good"), spec("c", signature=OPEN)])
    assert [one.name for one in second.changed] == ["c"]
    assert (second.removed, second.forgotten, second.secrets) == ([ARN + "b"], ["gone"], {})
    assert (first.version, second.version, told.version) == (1, 2, 2)


def test_a_process_that_knows_nothing_is_told_everything():
    told = Told(resolve)
    told.set_webhooks([hook("a", "good")])
    everything = told.everything()
    assert [one.name for one in everything.changed] == ["a"]
    assert everything.secrets == {"good": Secret("value")}
    assert everything.version == told.version


def test_secrets_that_changed_are_news_and_those_nobody_uses_are_not():
    told = Told(resolve)
    told.set_webhooks([hook("a", "good", "gone")])
    assert told.unusable() == {"gone"}
    assert told.learn({"good": Secret("value"), "gone": told.everything().secrets["gone"]}) is None
    news = told.learn({"gone": Secret("found"), "of nobody": Secret("x")})
    assert news.secrets == {"gone": Secret("found")}
    assert told.unusable() == set()
    assert "of nobody" not in told.everything().secrets


def test_a_webhook_that_is_wrong_changes_nothing():
    told = Told(resolve)
    told.set_webhooks([hook("a", "good")])
    with pytest.raises(ConfigError):
        told.set_webhooks([hook("a", "good"), spec("b", path="/a")])
    assert [*told.routes] == ["/a"]
    assert told.version == 1
