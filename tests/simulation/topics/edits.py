"""Places of a topic mapping's source that a mutant has wrong: one change each."""

from tests.simulation.edits import Edit

EDITS = (
    Edit(
        "a commit one offset too far",
        "sources.kafka.committed",
        '        return base + 1, ""\n    ahead',
        '        return base + 2, ""\n    ahead',
    ),
    Edit(
        "a lane's distance one too far in a commit",
        "sources.kafka.committed",
        "it.lane: it.position - base for it in lanes",
        "it.lane: it.position - base + 1 for it in lanes",
    ),
    Edit(
        "heads are not in commits",
        "sources.kafka.committed",
        "for it in lanes if it.head is not None]",
        "for it in lanes if it.head is None]",
    ),
    Edit(
        "finished records of a head one too far in a commit",
        "sources.kafka.committed",
        "return tuple(first + at for at in range(field.bit_length())",
        "return tuple(first + at + 1 for at in range(field.bit_length())",
    ),
    Edit(
        "a discard's on-failure record is not stored",
        "sources.kafka.group_progress",
        "        if outbox is not None or message is not None:\n            await",
        "        if outbox is not None:\n            await",
    ),
    Edit(
        "partitions are let go without their last commit",
        "mapping.kinds.kafka",
        "        await self._commit_the_rest()\n        partitions, self._partitions",
        "        partitions, self._partitions",
    ),
    Edit(
        "after a rebalance nothing is taken up again",
        "mapping.kinds.kafka",
        "        if not self._is_ending:\n            self.shell.resume()",
        "        if self._is_ending:\n            self.shell.resume()",
    ),
    Edit(
        "what was given is opened one offset too far",
        "mapping.kinds.kafka",
        "e.ShardOpened(name, progress) for",
        "e.ShardOpened(name, ShardProgress(progress.position + 1)) for",
    ),
    Edit(
        "the rest of an answer is given out in reverse",
        "sources.kafka.source",
        "            left.popleft()\n",
        "            left.pop()\n",
    ),
    Edit(
        "what was revoked is known better than what others committed since",
        "sources.kafka.group_progress",
        "if left is not None and left.said == said:",
        "if left is not None:",
    ),
)
