"""Functions as the API shows them (`functions-and-invocation.md` 4.1)."""

from datetime import UTC, datetime
from typing import Any, Final

from router.control.lambda_service.image_source import shown as shown_config
from router.control.lambda_service.states import Transition
from router.model.arn import function_arn
from router.model.resources import Function
from router.model.version import LATEST

CREATING: Final = "The function is being created."


def time_text(epoch_ms: int) -> str:
    """`2026-07-01T10:00:00.000+0000`."""
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{epoch_ms % 1000:03d}+0000"


def configuration(
    function: Function,
    region: str,
    account: str,
    *,
    sha256: str,
    version: str = LATEST,
    qualifier: str | None = None,
) -> dict[str, Any]:
    """A FunctionConfiguration without states, as lists show it."""
    shown: dict[str, Any] = {
        "FunctionName": function.name,
        "FunctionArn": function_arn(region, account, function.name, qualifier),
        "Runtime": function.runtime,
        "Role": function.role,
        "Handler": function.handler,
        "CodeSize": function.code_size,
        "Description": function.description,
        "Timeout": function.timeout_s,
        "MemorySize": function.memory_mb,
        "LastModified": time_text(function.last_modified_ms),
        "CodeSha256": sha256,
        "Version": version,
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": function.revision_id,
        "PackageType": "Image" if function.image else "Zip",
        "Architectures": [function.architecture],
        "EphemeralStorage": {"Size": function.ephemeral_mb},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{function.name}"},
    }
    if function.layers:
        shown["Layers"] = [{"Arn": use.arn, "CodeSize": use.code_size} for use in function.layers]
    if function.environment:
        shown["Environment"] = {"Variables": function.environment}
    shown.update(_extra(function))
    if function.image is not None:
        del shown["Runtime"], shown["Handler"]
        if config := shown_config(function.image.config):
            shown["ImageConfigResponse"] = {"ImageConfig": config}
    return shown


def _extra(function: Function) -> dict[str, Any]:
    """Members stored and given back, in the form answers have."""
    extra: dict[str, Any] = dict(function.extra)
    if isinstance(vpc := extra.get("VpcConfig"), dict):
        extra["VpcConfig"] = {"VpcId": "", **vpc}
    if isinstance(snap := extra.get("SnapStart"), dict):
        extra["SnapStart"] = {"OptimizationStatus": "Off", **snap}
    if isinstance(logging := extra.get("LoggingConfig"), dict):
        form = logging.get("LogFormat", "Text")
        levels = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"}
        extra["LoggingConfig"] = {
            "LogFormat": form,
            "LogGroup": f"/aws/lambda/{function.name}",
            **(levels if form == "JSON" else {}),
            **logging,
        }
    if isinstance(letter := extra.get("DeadLetterConfig"), dict) and not letter.get("TargetArn"):
        del extra["DeadLetterConfig"]
    return extra


def add_state(shown: dict[str, Any], transition: Transition | None) -> dict[str, Any]:
    """Add the states of a function, of which none is ever empty."""
    if transition is None:
        shown.update(State="Active", LastUpdateStatus="Successful")
        return shown
    shown["RevisionId"] = transition.revision
    if transition.is_new:
        shown.update(State="Pending", StateReason=CREATING, StateReasonCode="Creating")
        return shown
    shown.update(
        State="Active",
        LastUpdateStatus="InProgress",
        LastUpdateStatusReason=CREATING,
        LastUpdateStatusReasonCode="Creating",
    )
    return shown
