"""`AWS::Lambda::LayerVersion`: a folder that functions see below `/opt`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from router.model.arn import layer_arn
from router.model.layer import LAYERS_MAX
from router.model.resources import LayerUse
from router.template.properties import Properties
from router.template.resources.base import At, Draft, NextLayer, layer_token

NAME_CHARACTERS_MAX = 140
"""Longest layer name (Lambda quota)."""


class LambdaLayer:
    """A layer."""

    name = "AWS::Lambda::LayerVersion"
    effect = ""

    def ref(self, at: At) -> str:
        """The version's ARN."""
        around = at.surroundings
        name = at.physical_name("LayerName", NAME_CHARACTERS_MAX)
        return f"{layer_arn(around.region, around.account, name)}:{layer_token(at.logical_id)}"

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """LayerVersionArn."""
        return {"LayerVersionArn": lambda: self.ref(at)}

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Add the layer."""
        properties.check_known(
            (
                *("LayerName", "Content", "Description", "LicenseInfo"),
                *("CompatibleRuntimes", "CompatibleArchitectures"),
            ),
            self.name,
        )
        if not properties.require("Content"):
            return
        properties.text("LayerName", pattern=r"[a-zA-Z0-9-_]{1,140}")
        draft.layers[at.logical_id] = NextLayer(
            name=at.physical_name("LayerName", NAME_CHARACTERS_MAX),
            folder=_folder(properties, draft),
            description=properties.text("Description", length_max=256),
            runtimes=properties.texts("CompatibleRuntimes"),
            architectures=properties.texts("CompatibleArchitectures", choices=("x86_64", "arm64")),
            licence=properties.text("LicenseInfo", length_max=512),
            owner=at.owner,
        )


def uses_of(properties: Properties) -> tuple[LayerUse, ...]:
    """The layers a function names; what is in them is looked up when the template is planned."""
    arns = properties.texts("Layers")
    if len(arns) > LAYERS_MAX:
        properties.problem("Layers", f"more than {LAYERS_MAX} layers")
    seen: set[str] = set()
    for arn in arns:
        use = LayerUse(arn, "", 0, 0)
        if ":layer:" not in use.layer_arn:
            hint = "!Ref of an AWS::Serverless::LayerVersion, or the ARN of a version"
            properties.problem("Layers", f"{arn!r} is not the ARN of a layer version", hint)
        elif use.layer_arn in seen:
            properties.problem("Layers", f"two versions of {use.layer_arn}")
        seen.add(use.layer_arn)
    return tuple(LayerUse(arn, "", 0, 0) for arn in arns)


def _folder(properties: Properties, draft: Draft) -> str:
    content = properties.raw("Content")
    if not isinstance(content, str) or content.startswith("s3://") or "\0" in content:
        hint = "ContentUri: ./folder; it is what functions see as /opt"
        properties.problem("Content", "only a local folder is supported", hint)
        return ""
    if "\0" in content:
        properties.problem("Content", f"{content!r} is no path")
        return ""
    folder = Path(draft.folder, content).resolve()
    if not folder.is_dir():
        properties.problem("Content", f"{content} is not a folder", f"looked at {folder}")
    return str(folder)
