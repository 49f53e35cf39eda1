"""The outer form of a template: sections, resources, their members and types."""

from typing import Any

from router.model.nearest import did_you_mean
from router.template.problems import Path, Problems
from router.template.resources import SUPPORTED, TYPES
from router.template.sam import FUNCTION, LAYER, TRANSFORM, uses_sam

RESOURCES_MAX = 500
"""Resources of one template (CloudFormation quota)."""

DESTINATIONS = ("AWS::SNS::Topic", "AWS::S3::Bucket")
"""Not made here, but delivered to."""

LOGICAL_ID_CHARACTERS_MAX = 255
"""Longest logical id (CloudFormation quota)."""

SECTIONS = (
    "AWSTemplateFormatVersion",
    "Transform",
    "Description",
    "Metadata",
    "Parameters",
    "Mappings",
    "Conditions",
    "Globals",
    "Resources",
    "Outputs",
)

RESOURCE_MEMBERS = (
    "Type",
    "Properties",
    "DependsOn",
    "Condition",
    "Metadata",
    "DeletionPolicy",
    "UpdateReplacePolicy",
    "UpdatePolicy",
)


def check_shape(template: dict[str, Any], problems: Problems) -> None:
    """Raises `TemplateRefused`; what comes after it may rely on the form."""
    for section in template:
        if section not in SECTIONS:
            hint = did_you_mean(section, SECTIONS) or f"known: {', '.join(SECTIONS)}"
            problems.add((section,), "unknown section", hint)
    _check_transform(template, problems)
    _check_globals(template, problems)
    resources = template.get("Resources")
    if not isinstance(resources, dict) or not resources:
        problems.add(("Resources",), "a template needs Resources")
        problems.raise_any()
        return
    if len(resources) > RESOURCES_MAX:
        problems.add(("Resources",), f"more than {RESOURCES_MAX} resources")
    has_sam = uses_sam(template)
    for logical_id, resource in resources.items():
        _check_resource(logical_id, resource, problems, has_sam=has_sam)
    problems.raise_any()


def check_types(resources: dict[str, Any], problems: Problems) -> None:
    """Types of what the SAM translation made. Raises `TemplateRefused`."""
    for logical_id, resource in resources.items():
        _check_type(logical_id, resource["Type"], problems)
    problems.raise_any()


def _check_transform(template: dict[str, Any], problems: Problems) -> None:
    if "Transform" not in template:
        return
    transform = template["Transform"]
    for name in transform if isinstance(transform, list) else [transform]:
        if name != TRANSFORM:
            text = f"transform {name} is not supported"
            problems.add(("Transform",), text, f"supported: {TRANSFORM}")


def _check_globals(template: dict[str, Any], problems: Problems) -> None:
    if "Globals" not in template:
        return
    shared = template["Globals"]
    if not uses_sam(template):
        problems.add(("Globals",), "needs the SAM transform", f"Transform: {TRANSFORM}")
    elif not isinstance(shared, dict):
        problems.add(("Globals",), "must be a mapping")
    elif not isinstance(shared.get("Function", {}), dict):
        problems.add(("Globals", "Function"), "must be a mapping")
    else:
        for section in shared:
            if section != "Function":
                hint = did_you_mean(section, ("Function",)) or "supported: Function"
                problems.add(("Globals", section), "is not supported", hint)


def _check_resource(logical_id: str, resource: Any, problems: Problems, *, has_sam: bool) -> None:
    path: Path = ("Resources", logical_id)
    is_name = logical_id.isascii() and logical_id.isalnum()
    if not is_name or len(logical_id) > LOGICAL_ID_CHARACTERS_MAX:
        problems.add(path, "a logical id has letters and digits only")
    if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
        problems.add(path, "must be a mapping with a Type")
        return
    for member in resource:
        if member not in RESOURCE_MEMBERS:
            hint = did_you_mean(member, RESOURCE_MEMBERS) or (
                f"known: {', '.join(RESOURCE_MEMBERS)}"
            )
            problems.add((*path, member), "unknown member of a resource", hint)
    if not isinstance(resource.get("Properties", {}), dict):
        problems.add((*path, "Properties"), "must be a mapping")
    needed = resource.get("DependsOn", [])
    if not all(
        isinstance(name, str) for name in (needed if isinstance(needed, list) else [needed])
    ):
        problems.add((*path, "DependsOn"), "must be a logical id or a list of them")
    if not isinstance(resource.get("Condition", ""), str):
        problems.add((*path, "Condition"), "must be the name of a condition")
    kind = resource["Type"]
    if kind not in (FUNCTION, LAYER):
        _check_type(logical_id, kind, problems)
    elif not has_sam:
        problems.add((*path, "Type"), f"{kind} needs the SAM transform", f"Transform: {TRANSFORM}")


def _check_type(logical_id: str, kind: str, problems: Problems) -> None:
    if kind in TYPES:
        return
    supported = f"supported: {', '.join(SUPPORTED)}"
    advice = did_you_mean(kind, (*TYPES, FUNCTION), likeness=0.85)
    if kind in DESTINATIONS:
        advice = "make it elsewhere and name it by its ARN as an on-failure destination;"
    hint = f"{advice} {supported}".strip()
    problems.add(("Resources", logical_id, "Type"), f"type {kind} is not supported", hint)
