"""Places of a queue mapping's source that a mutant has wrong: one change each (`docs/mutants.md`).

Those of the engine also run in the model's world (`tests/model/test_queue_engine.py`).
"""

from tests.simulation.edits import Edit

ENGINE_EDITS = (
    Edit(
        "a group whose message failed goes on",
        "mapping.queue_engine",
        "self._drop_groups(groups_of(failed))",
        "pass",
    ),
    Edit(
        "a group in two batches",
        "mapping.queue_engine",
        "if batch.groups & blocked:",
        "if False:",
    ),
    Edit(
        "a group overtakes one that waits",
        "mapping.queue_engine",
        "blocked |= batch.groups\n                is_waiting = True\n                continue",
        "is_waiting = True\n                continue",
    ),
    Edit(
        "a failed message is deleted",
        "mapping.queue_engine",
        "self._conclude((), batch.messages)",
        "self._conclude(batch.messages[:1], batch.messages[1:])",
    ),
    Edit(
        "a reported message is deleted",
        "mapping.queue_engine",
        "failed = set(indexes)",
        "failed = set(indexes[1:])",
    ),
    Edit(
        "one batch more than allowed",
        "mapping.queue_engine",
        "len(self._open) >= self._pace.batches_max",
        "len(self._open) > self._pace.batches_max",
    ),
    Edit(
        "batches out of order",
        "mapping.queue_engine",
        "self._ready.sort(key=lambda one: one.number)",
        "pass",
    ),
    Edit(
        "a group stays busy for ever",
        "mapping.queue_engine",
        "self._busy -= batch.groups",
        "pass",
    ),
    Edit(
        "what filters left out stays",
        "mapping.queue_engine",
        "self._deletes.add(event.left_out)",
        "pass",
    ),
    Edit(
        "after a drain nothing is received",
        "mapping.queue_engine",
        "                self._is_draining = False",
        "                pass",
    ),
    Edit(
        "a group goes on before what is handled is gone",
        "mapping.queue_engine",
        "self._busy.union(self._deletes.groups)",
        "set(self._busy)",
    ),
    Edit(
        "bytes are not given back",
        "mapping.queue_engine",
        "self._held.discard(message.event_id)\n        self._release(message)",
        "self._held.discard(message.event_id)",
    ),
)

MODEL_EDITS = (
    *ENGINE_EDITS,
    Edit(
        "a message that stayed is overtaken",
        "mapping.queue_engine",
        "self._drop_groups({receipt.group for",
        "set({receipt.group for",
    ),
)
"""With one that takes a queue rougher than SQS: it hands out of a group that is in flight."""

EDITS = (
    *ENGINE_EDITS,
    Edit(
        "what failed is held for ever",
        "mapping.queue_engine",
        "        for message in failed:\n            self._forget(message)\n",
        "        for message in ():\n            self._forget(message)\n",
    ),
    Edit(
        "a batch that found no slot is dropped",
        "mapping.queue_engine",
        "        self._ready.append(batch)\n        self._ready.sort",
        "        self._ready.sort",
    ),
    Edit(
        "asked for more than can be run",
        "mapping.queue_engine",
        "- len(self._gathered) - asked\n",
        "- len(self._gathered)\n",
    ),
    Edit(
        "received during a drain",
        "mapping.queue_engine",
        "if self._is_open and not is_waiting and not self._is_draining:",
        "if self._is_open and not is_waiting:",
    ),
    Edit(
        "a queue's window 60 ms long",
        "mapping.queue_engine",
        "self._now_ms >= self._window_from_ms + spec.window_ms",
        "self._now_ms >= self._window_from_ms + spec.window_ms + 60",
    ),
    Edit(
        "a batch runs what others may have by now",
        "mapping.queue_engine",
        "kept, expired = unexpired(batch.messages, self._now_ms)",
        "kept, expired = batch.messages, ()",
    ),
    Edit(
        "a mapping's concurrency one too high",
        "mapping.queue_pace",
        "ceiling = spec.concurrency_max",
        "ceiling = spec.concurrency_max + 1",
    ),
    Edit(
        "a deletion that failed is forgotten",
        "mapping.queue_deletes",
        "            self._waiting.append(deletion)\n        return",
        "            pass\n        return",
    ),
    Edit(
        "a failed delete is told as done",
        "mapping.queue_shell",
        "return q.DeleteFailed(command.command_id, error.code)",
        "return q.MessagesDeleted(command.command_id)",
    ),
    Edit(
        "what filters left out is not told",
        "mapping.queue_shell",
        "q.MessagesReceived(command.command_id, passed, left_out)",
        "q.MessagesReceived(command.command_id, passed)",
    ),
    Edit(
        "what passed the filters is left out as well",
        "mapping.queue_shell",
        "if one.position not in kept",
        "if one.position",
    ),
    Edit(
        "a throttle is told as a failure",
        "mapping.queue_shell",
        "outcome = not_invoked(error)",
        "outcome = Failed(error.reason)",
    ),
    Edit(
        "nothing is hidden for its window",
        "mapping.visibility",
        "if window_ms > 0 and needed_s > queue_s:",
        "if needed_s < 0:",
    ),
    Edit(
        "taken for hidden longer than it is",
        "mapping.visibility",
        "visibility_s * 1000 - min(",
        "visibility_s * 1000 + 20 * min(",
    ),
)
