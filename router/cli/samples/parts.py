"""What several samples have in common."""

import base64
import hashlib

REGION = "us-east-1"
ACCOUNT = "123456789012"
TIME = "2026-01-01T00:00:00.000Z"
TIME_MS = 1_767_225_600_000
ID = "0b9a7f2e-5c1d-4e38-9f60-7d1c2b3a4e5f"
ADDRESS = "192.0.2.1"
AGENT = "curl/8.5.0"


def encoded(text: str) -> str:
    """Base64 of a text."""
    return base64.b64encode(text.encode()).decode()


def md5(text: str) -> str:
    """What queues call the MD5 of a body."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
