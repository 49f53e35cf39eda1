"""Queues of AWS, where `ROUTER_SQS` says that queue ARNs mean those."""

from router.auth.aws_session import AwsSession
from router.model.arn import parse_arn
from router.sources.aws_queue import MISSING, AwsQueueSource
from router.sources.sqs_client import SqsClient, SqsProblem


class AwsQueues:
    """Sources by ARN; the queues of a region share their connections."""

    def __init__(self, aws: AwsSession) -> None:
        self._aws = aws
        self._clients: dict[str, SqsClient] = {}
        self._sources: dict[str, AwsQueueSource] = {}

    def source(self, arn: str) -> AwsQueueSource:
        """The queue behind an ARN, there or not. The same one for whoever asks."""
        if arn not in self._sources:
            self._sources[arn] = self._make(arn)
        return self._sources[arn]

    async def visibility_s(self, arn: str) -> int | None:
        """The visibility timeout of a queue that a mapping is to read; None: there is no such one.

        Raises `RouterError` when SQS does not say; its `code` is `access_denied` where it may not.
        """
        try:
            return await self._make(arn).visibility_s()
        except SqsProblem as problem:
            if problem.kind in MISSING:
                return None
            raise

    def _make(self, arn: str) -> AwsQueueSource:
        region = parse_arn(arn).region
        if region not in self._clients:
            self._clients[region] = SqsClient(self._aws, region)
        return AwsQueueSource(self._clients[region], arn)

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.close()
