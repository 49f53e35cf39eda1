"""Asynchronous invocation: events that nobody waits for, from the queue to their end."""
