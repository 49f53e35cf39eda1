"""SQS: tasks that move messages out of dead-letter queues."""

from router.control.context import Context
from router.control.sqs.part import Params, Refusals, SqsPart


class Moves(SqsPart):
    """One method per operation."""

    async def start_message_move_task(self, _context: Context, params: Params) -> Params:
        """StartMessageMoveTask."""
        with Refusals():
            handle = await self._queues.moves.start(
                params["SourceArn"],
                params.get("DestinationArn"),
                params.get("MaxNumberOfMessagesPerSecond"),
            )
        return {"TaskHandle": handle}

    async def cancel_message_move_task(self, _context: Context, params: Params) -> Params:
        """CancelMessageMoveTask."""
        with Refusals():
            moved = await self._queues.moves.cancel(params["TaskHandle"])
        return {"ApproximateNumberOfMessagesMoved": moved}

    async def list_message_move_tasks(self, _context: Context, params: Params) -> Params:
        """ListMessageMoveTasks."""
        with Refusals():
            found = await self._queues.moves.tasks(params["SourceArn"], params.get("MaxResults", 1))
        return {"Results": found} if found else {}
