"""Request ids of invocations."""

import os
import uuid

from router.dispatch.entropy import Entropy
from router.dispatch.request_ids import RequestIds
from router.dispatch.traces import new_trace

KEPT = 2 * Entropy.KEPT_BYTES // RequestIds.DIGITS


def test_every_id_is_a_random_uuid_of_its_own():
    ids = RequestIds()
    made = [ids.next() for _ in range(10 * KEPT)]
    assert len(set(made)) == len(made)
    for text in made:
        found = uuid.UUID(text)
        assert str(found) == text
        assert (found.version, found.variant) == (4, uuid.RFC_4122)


def test_the_system_is_asked_once_for_many(monkeypatch):
    asked = []

    def urandom(size_bytes, real=os.urandom):
        asked.append(size_bytes)
        return real(size_bytes)

    monkeypatch.setattr("router.dispatch.entropy.os.urandom", urandom)
    ids = RequestIds()
    for _ in range(KEPT + 1):
        ids.next()
    assert asked == [Entropy.KEPT_BYTES] * 2


def test_traces_are_new_however_many():
    made = {new_trace() for _ in range(10 * KEPT)}
    assert len(made) == 10 * KEPT
