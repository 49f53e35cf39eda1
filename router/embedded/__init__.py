"""Queues kept in the store: the rules SQS clients rely on, without any wire protocol."""
