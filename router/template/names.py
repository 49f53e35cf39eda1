"""Names and addresses of what a template makes: the same on every apply."""

import base64
import hashlib
import os
import re
import uuid
from pathlib import Path

import msgspec

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "event-router:template")
"""Namespace of mapping UUIDs."""

SUFFIX_CHARACTERS = 12
"""Length of the suffix of a generated name, as CloudFormation's."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a template is applied: what pseudo parameters, ARNs and URLs are made of."""

    stack: str
    region: str = "us-east-1"
    account: str = "000000000000"
    api_url: str = "http://127.0.0.1:9470"
    ingress_url: str = "http://127.0.0.1:8080"
    url_base: str = ""
    """As `Settings.url_base`."""
    has_queues: bool = True
    """As `Hosting.has_queues`."""

    def stack_id(self) -> str:
        """AWS::StackId."""
        unique = uuid.uuid5(NAMESPACE, self.stack)
        return f"arn:aws:cloudformation:{self.region}:{self.account}:stack/{self.stack}/{unique}"

    def queue_url(self, name: str) -> str:
        """QueueUrl of a queue; clients have it read back by its path alone."""
        return f"{self.api_url.rstrip('/')}/{self.account}/{name}"


def place_of(template: Path) -> Path:
    """A template's whole path as people name it: links stay.

    A mounted ConfigMap, or a release behind `current`, leads somewhere else with each change.
    """
    return Path(os.path.normpath(template.absolute()))


def stack_name_of(template: Path) -> str:
    """The stack a template makes when none is named: its folder's name, fit for use."""
    name = re.sub(r"[^A-Za-z0-9-]+", "-", place_of(template).parent.name).strip("-")
    if not name or not name[0].isalpha():
        name = f"stack-{name}".rstrip("-")
    return name[:128]


def physical_name(stack: str, logical_id: str, length_max: int) -> str:
    """`<stack>-<logical id>-<suffix>`, shortened to fit; the suffix is of both, whole."""
    digest = hashlib.sha256(f"{stack}/{logical_id}".encode()).digest()
    suffix = base64.b32encode(digest).decode()[:SUFFIX_CHARACTERS]
    room = length_max - SUFFIX_CHARACTERS - 1
    if len(stack) + 1 + len(logical_id) > room:
        kept = min(len(logical_id), room // 2)
        stack, logical_id = stack[: room - 1 - kept], logical_id[:kept]
    return f"{stack}-{logical_id}-{suffix}"


def mapping_uuid(stack: str, logical_id: str) -> str:
    """UUID of a mapping: kept as long as its logical id is."""
    return str(uuid.uuid5(NAMESPACE, f"{stack}/{logical_id}"))
