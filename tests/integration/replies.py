"""Replies to a batch that mean the same whatever the source (P12)."""

REPLIES = [
    ("", True), ([], True), (None, True), ({}, True),
    ({"batchItemFailures": []}, True), ({"batchItemFailures": None}, True),
    ({"batchItemFailures": [{"itemIdentifier": ""}]}, False),
    ({"batchItemFailures": [{"itemIdentifier": 123}]}, False),
    ({"batchItemFailures": [{"itemIdentifier": None}]}, False),
    ({"batchItemFailures": [{}]}, False),
]  # fmt: skip
"""Each with whether all of the batch counts as done; else all of it as failed."""
