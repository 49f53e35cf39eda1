"""A message as a queue hands it out, whoever keeps the queue."""

from typing import Any

import msgspec


class QueueMessage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One received message, in SQS's own words."""

    message_id: str
    receipt: str
    body: str
    md5_of_body: str
    md5_of_attributes: str | None = None
    """None without message attributes."""
    system: dict[str, str] = {}
    """SentTimestamp, ApproximateReceiveCount, MessageGroupId …"""
    attributes: dict[str, dict[str, Any]] = {}
    """Message attributes: DataType, StringValue, BinaryValue as bytes or as base64 text."""
