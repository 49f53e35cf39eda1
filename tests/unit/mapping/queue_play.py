"""A playbook for the queue engine, as `play.py` is one for streams.

`play >> event` feeds an event, `<< command` states the next command that must come out. Ids are the
playbook's business: an answer goes to the oldest open command of its kind.
"""

from router.mapping import engine as e
from router.mapping import queue_events as q
from router.mapping.queue_engine import QueueEngine
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, NotRun, PartlySucceeded, Succeeded
from router.model.source_kind import SourceKind

nothing = None

SLOTS = 100


def spec_of(*, fifo=False, **settings):
    return MappingSpec(
        uuid="b2c3d4e5-0000-4000-8000-000000000001",
        name="jobs",
        function_arn="arn:aws:lambda:us-east-1:000000000000:function:settle",
        source_arn="arn:aws:sqs:us-east-1:000000000000:jobs" + (".fifo" if fifo else ""),
        kind=SourceKind.FIFO if fifo else SourceKind.SQS,
        batch_size=settings.pop("batch_size", 10),
        **settings,
    )


_numbers = iter(range(1, 1 << 40))


def message(name, *, until_ms=30_000, size_bytes=100, receipt=""):
    """`G1` is the first message of group G; `1` one of a standard queue."""
    group = "" if name[0].isdigit() else name[0]
    return q.Message(
        position=next(_numbers),
        key=group,
        arrival_ms=0,
        size_bytes=size_bytes,
        data=b"",
        event_id=name,
        receipt=receipt or f"r-{name}",
        until_ms=until_ms,
    )


def receipts(*names):
    return tuple(f"r-{name}" for name in names)


class QueuePlay:
    """One engine and what it asked for."""

    def __init__(self, *, slots=SLOTS, **settings):
        self.spec = spec_of(**settings)
        self.engine = QueueEngine(self.spec, slots)
        self.now_ms = 0
        self.left = []
        self.open = {q.Receive: [], q.Invoke: [], q.Delete: []}
        self.receives_seen = 0
        self._feed(q.QueueOpened())

    def at(self, now_ms):
        self.now_ms = now_ms
        return self

    def _feed(self, event):
        commands = self.engine.handle(event, self.now_ms, 0)
        for command in commands:
            self.open[type(command)].append(command)
            if isinstance(command, q.Receive):
                self.receives_seen += 1
        self.left += [command for command in commands if not isinstance(command, q.Receive)]

    # What happens.

    def receives(self, *messages, left_out=()):
        gone = tuple(q.Receipt(name, f"r-{name}", 30_000) for name in left_out)
        command = self.open[q.Receive].pop(0)
        found = tuple(m if isinstance(m, q.Message) else message(m) for m in messages)
        self._feed(q.MessagesReceived(command.command_id, found, gone))
        return self

    def starts(self, nth=0):
        self._feed(q.InvocationStarted(self.open[q.Invoke][nth].command_id))
        return self

    def ends(self, outcome=None, nth=0):
        command = self.open[q.Invoke].pop(nth)
        self._feed(q.InvocationFinished(command.command_id, outcome or Succeeded()))
        return self

    def fails(self, nth=0):
        return self.ends(Failed("Error"), nth)

    def reports(self, *indexes, nth=0):
        return self.ends(PartlySucceeded(indexes), nth)

    def is_throttled(self, nth=0):
        return self.ends(NotRun("throttled"), nth)

    def deleted(self, *failed):
        self._feed(q.MessagesDeleted(self.open[q.Delete].pop(0).command_id, failed))
        return self

    def delete_fails(self):
        self._feed(q.DeleteFailed(self.open[q.Delete].pop(0).command_id, "down"))
        return self

    def cannot_receive(self):
        self._feed(q.ReceiveFailed(self.open[q.Receive].pop(0).command_id, "down"))
        return self

    def ticks(self):
        self._feed(e.Tick())
        return self

    def drains(self):
        self._feed(e.DrainRequested())
        return self

    def resumes(self):
        self._feed(e.Resumed())
        return self

    def changes(self, **settings):
        self.spec = spec_of(**settings)
        self._feed(e.SettingsChanged(self.spec))
        return self

    def has_room(self, bytes_max):
        self._feed(e.RoomChanged(bytes_max))
        return self

    # What must come out.

    def invokes(self, *names, attempt=1):
        command = self._next(q.Invoke)
        assert tuple(one.event_id for one in command.messages) == names
        assert command.attempt == attempt
        return self

    def deletes(self, *names):
        command = self._next(q.Delete)
        assert tuple(one.message_id for one in command.receipts) == names
        return self

    def deletes_receipts(self, *expected):
        command = self._next(q.Delete)
        assert tuple(one.receipt for one in command.receipts) == expected
        return self

    def _next(self, kind):
        assert self.left, f"no {kind.__name__} came out"
        command = self.left.pop(0)
        assert isinstance(command, kind), command
        return command

    def does_nothing(self):
        assert not self.left, self.left
        return self

    @property
    def receives_open(self):
        return len(self.open[q.Receive])
