"""SAM to plain CloudFormation, through AWS's own translator in a child process.

The translator refuses local paths and does not know our types: the paths are swapped for
placeholders and the types taken out before, both put back after. A template without the
`Transform` line never gets here.
"""

import copy
import json
import re
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path as FilePath
from typing import Any, TypeGuard

from router.model.errors import TemplateError
from router.model.nearest import did_you_mean
from router.template.problems import Path, Places, Problems

TRANSFORM = "AWS::Serverless-2016-10-31"
FUNCTION = "AWS::Serverless::Function"
LAYER = "AWS::Serverless::LayerVersion"

CHILD_DEADLINE_S = 60
"""How long one translation may take."""

TRANSLATIONS_KEPT_MAX = 8
"""Translations remembered, so that a reload of code alone starts no child."""

EVENT_TYPES = ("SQS", "Kinesis", "DynamoDB", "MSK", "SelfManagedKafka", "MQ", "DocumentDB")
"""Events of a function that become event source mappings."""

_CHILD = FilePath(__file__).with_name("sam_child.py")
_CODE = ("CodeUri", "InlineCode", "ImageUri")
_FOLDER_IN = {FUNCTION: "CodeUri", LAYER: "ContentUri"}
"""Type → the property that may name a local folder."""

_BUCKET = "router-local-folder"
_ROUTER_TYPE = "Router::"
_LEAST_RESOURCE = {"Type": "AWS::IAM::Role", "Properties": {}}
_LEAST_ID = "RouterTemplateWithoutResources"
_GLOBAL = re.compile(r"'(\w+)' is not a supported property of 'Function'")
_NOT_DEFINED = re.compile(r"property (\w+) not defined")
_MADE_FROM = {"Url": "FunctionUrlConfig", "EventInvokeConfig": "EventInvokeConfig"}
"""How the id of what a property of a function makes ends, and the property."""

_translations: OrderedDict[str, dict[str, Any]] = OrderedDict()


def uses_sam(template: dict[str, Any]) -> bool:
    """Whether the template names the SAM transform."""
    transform = template.get("Transform")
    return TRANSFORM in (transform if isinstance(transform, list) else [transform])


def translate(
    template: dict[str, Any], region: str, places: Places, problems: Problems
) -> dict[str, Any]:
    """A template with its `AWS::Serverless::*` resources replaced by what they stand for.

    `template` is resolved as far as it can be without resources. Raises `TemplateRefused` for
    what the translator refuses, `TemplateError` when it cannot be run.
    """
    _check_functions(template, problems)
    problems.raise_any()
    written = template["Resources"]
    prepared = copy.deepcopy(template)
    resources = prepared["Resources"]
    ours = {
        name: resources.pop(name)
        for name in list(resources)
        if str(resources[name].get("Type", "")).startswith(_ROUTER_TYPE)
    }
    folders = _take_out_folders(prepared)
    if not resources:
        resources[_LEAST_ID] = copy.deepcopy(_LEAST_RESOURCE)
    reply = _translated(json.dumps({"template": prepared, "region": region}))
    if "problems" in reply:
        _report(reply, written, problems)
        problems.raise_any()
    translated: dict[str, Any] = reply["template"]
    translated["Resources"].pop(_LEAST_ID, None)
    _put_back_folders(translated["Resources"], folders)
    translated["Resources"].update(ours)
    _trace_origins(translated["Resources"], written, places)
    return translated


def _check_functions(template: dict[str, Any], problems: Problems) -> None:
    """What the translator would refuse or make without saying it where it is written."""
    shared = template.get("Globals", {}).get("Function", {})
    for logical_id, resource in template["Resources"].items():
        if resource.get("Type") != FUNCTION:
            continue
        path: Path = ("Resources", logical_id, "Properties")
        properties = resource.get("Properties", {})
        if not any(name in {**shared, **properties} for name in _CODE):
            problems.add((*path, "CodeUri"), "is required", "CodeUri: ./folder, or InlineCode")
        events = properties.get("Events", {})
        for name, event in events.items() if isinstance(events, dict) else ():
            _check_event(event, (*path, "Events", name), problems)


def _check_event(event: Any, path: Path, problems: Problems) -> None:
    kind = event.get("Type") if isinstance(event, dict) else None
    if isinstance(kind, str) and kind not in EVENT_TYPES:
        hint = did_you_mean(kind, EVENT_TYPES) or (
            "a webhook is a Router::Webhook with an AWS::Lambda::EventSourceMapping"
        )
        problems.add((*path, "Type"), f"events of type {kind} are not supported yet", hint)


def _take_out_folders(template: dict[str, Any]) -> list[str]:
    folders: list[str] = []

    def placeholder(path: str) -> str:
        folders.append(path)
        return f"s3://{_BUCKET}/{len(folders) - 1}"

    shared = template.get("Globals", {})
    places = [(shared.get("Function"), "CodeUri"), (shared.get("LayerVersion"), "ContentUri")]
    places += [
        (resource.get("Properties"), _FOLDER_IN[resource["Type"]])
        for resource in template["Resources"].values()
        if resource.get("Type") in _FOLDER_IN
    ]
    for properties, name in places:
        folder = properties.get(name) if isinstance(properties, dict) else None
        if isinstance(properties, dict) and _is_local(folder):
            properties[name] = placeholder(folder)
    return folders


def _is_local(folder: Any) -> TypeGuard[str]:
    return isinstance(folder, str) and not folder.startswith("s3://")


def _put_back_folders(resources: dict[str, Any], folders: list[str]) -> None:
    for resource in resources.values():
        for name in ("Code", "Content"):
            code = resource.get("Properties", {}).get(name)
            if isinstance(code, dict) and code.get("S3Bucket") == _BUCKET:
                resource["Properties"][name] = folders[int(code["S3Key"])]


def _translated(request: str) -> dict[str, Any]:
    if request in _translations:
        _translations.move_to_end(request)
        return copy.deepcopy(_translations[request])
    child = _run_child(request)
    if child.returncode != 0:
        last = child.stderr.strip().rpartition("\n")[2]
        raise TemplateError(f"the SAM translator failed (exit code {child.returncode}): {last}")
    reply: dict[str, Any] = json.loads(child.stdout)
    _translations[request] = reply
    while len(_translations) > TRANSLATIONS_KEPT_MAX:
        _translations.popitem(last=False)
    return copy.deepcopy(reply)


def _run_child(request: str) -> "subprocess.CompletedProcess[str]":
    """The process that translates: one request, one reply."""
    try:
        return subprocess.run(  # noqa: S603 - our own file, no shell
            [sys.executable, "-P", str(_CHILD)],
            input=request,
            capture_output=True,
            text=True,
            timeout=CHILD_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TemplateError(f"the SAM translator took longer than {CHILD_DEADLINE_S} s") from None


def _report(reply: dict[str, Any], written: dict[str, Any], problems: Problems) -> None:
    """The translator's words, at the place they are about."""
    known = reply["function_properties"]
    for problem in reply["problems"]:
        text, path = problem["text"].rstrip("."), _written_path(problem["logical_id"], written)
        shared = _GLOBAL.search(text)
        if shared:
            path = ("Globals", "Function", shared.group(1))
            problems.add(path, "unknown property", did_you_mean(shared.group(1), known))
            continue
        name, hint = _property_of(text, path, written), ""
        if _NOT_DEFINED.search(text) and len(path) == 3:
            hint = did_you_mean(name, known)
        problems.add((*path, name) if name and path else path, text, hint)


def _property_of(text: str, path: Path, written: dict[str, Any]) -> str:
    """The property a text is about: the one it says, or the first that is written there."""
    said = _NOT_DEFINED.search(text)
    if said:
        return said.group(1)
    place: Any = {"Resources": written}
    for part in path:
        place = place.get(part, {}) if isinstance(place, dict) else {}
    words = re.findall(r"\w+", text)
    return next((word for word in words if isinstance(place, dict) and word in place), "")


def _trace_origins(resources: dict[str, Any], written: dict[str, Any], places: Places) -> None:
    """Tell `places` where what the translator made was written."""
    for logical_id in resources:
        original = written.get(logical_id)
        if original is None:
            path = _written_path(logical_id, written)
            if path:
                places.add_origin(logical_id, path)
        elif original.get("Type") == FUNCTION:
            places.add_origin(logical_id, ("Globals", "Function"))
            for name in ("InlineCode", "CodeUri"):
                root: Path = ("Resources", logical_id, "Properties")
                if name in original.get("Properties", {}):
                    places.add_alias((*root, "Code"), (*root, name))
                    break
            else:
                places.add_alias((*root, "Code"), ("Globals", "Function", "CodeUri"))


def _written_path(logical_id: str, written: dict[str, Any]) -> Path:
    """Where the properties of a resource are written that the translator knows or made."""
    if logical_id in written:
        return ("Resources", logical_id, "Properties")
    parents = [name for name in written if logical_id.startswith(name)]
    if not parents:
        return ()
    parent = max(parents, key=len)
    properties: Path = ("Resources", parent, "Properties")
    events = written[parent].get("Properties", {}).get("Events", {})
    rest = logical_id.removeprefix(parent)
    if isinstance(events, dict) and rest in events:
        return (*properties, "Events", rest, "Properties")
    return (*properties, _MADE_FROM[rest]) if rest in _MADE_FROM else properties
