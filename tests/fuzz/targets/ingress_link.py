"""Frames from the ingress process: cut anywhere they are the same, and what is none is refused."""

import asyncio

from router.ingress import tally
from router.ingress.frames import Append, Counts, FrameError, FrameReader, decode
from router.ingress.intake import Intake
from router.ingress.route import Route
from router.ingress.url_desk import UrlDesk
from router.model.function_url import UrlTaken
from router.model.webhook import Signature, WebhookSpec
from router.store.base import Appended

SPEC = WebhookSpec(name="a", arn="arn", path="/a", signature=Signature(scheme="none"))
SHARD = SPEC.stream_shards[0].name
LOOP = asyncio.new_event_loop()


class Store:
    """Stores all; what it gets has been looked at."""

    def append_all_nowait(self, records):
        assert all((record.stream, record.shard) == ("arn", SHARD) for record in records)
        future = LOOP.create_future()
        future.set_result([Appended(record.event_id, 1, False) for record in records])
        return future

    def append_nowait(self, record):
        future = LOOP.create_future()
        future.set_result(self.append_all_nowait([record]).result()[0])
        return future


def read(chunks):
    """Messages, and whether the stream was refused."""
    found = []
    reader = FrameReader(lambda kind, body: found.append(decode(kind, body)))
    try:
        for chunk in chunks:
            reader.feed(chunk)
    except FrameError:
        return found, True
    return found, False


async def act(messages):
    intake = Intake(Store())
    intake.set_routes({"/a": Route(SPEC, str)})
    for message in messages:
        try:
            if isinstance(message, Append):
                replies = []
                intake.take(message, replies.append)
                for _ in range(4):
                    await asyncio.sleep(0)
                (reply,) = replies
                assert reply.number == message.number
                assert len(reply.batches) == len(message.batches)
            elif isinstance(message, Counts):
                tally.add(message)
            elif isinstance(message, UrlTaken):
                UrlDesk(None).taken(message, None)
        except FrameError:
            return


def one_input(data):
    if not data:
        return
    step = data[0] % 64 + 1
    stream = bytes(data[1:])
    parts = [stream[start : start + step] for start in range(0, len(stream), step)]
    found, is_refused = read(parts)
    assert (found, is_refused) == read([stream])
    LOOP.run_until_complete(act(found))
