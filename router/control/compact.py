"""Turn the installed botocore's service models into the small form the control plane reads.

Run as a script in a child process (`compact.py DATA_DIR OVERLAY_DIR OUT_DIR SERVICE…`), with the
standard library alone, so that the memory a full model takes never stays with the router. Only
botocore's data files are read; the library itself is not imported.

An overlay `<service>.json` holds what newer models have and the installed one has not, for the
operations we serve: its `operations` and `shapes` are laid over the model's, key by key.
"""

import gzip
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

METADATA = ("protocol", "targetPrefix", "jsonVersion", "xmlNamespace", "apiVersion")
SHAPE_KEYS = (
    "type",
    "required",
    "enum",
    "min",
    "max",
    "pattern",
    "payload",
    "flattened",
    "timestampFormat",
    "sensitive",
)
MEMBER_KEYS = ("shape", "location", "locationName", "flattened")


def compact(model: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """The small form of a service model with an overlay laid over it."""
    model = {
        **model,
        "operations": _merge(model["operations"], overlay.get("operations", {})),
        "shapes": _merge(model["shapes"], overlay.get("shapes", {})),
    }
    metadata = model["metadata"]
    return {
        **{key: metadata[key] for key in METADATA if key in metadata},
        "operations": {name: _operation(body) for name, body in model["operations"].items()},
        "shapes": {name: _shape(body) for name, body in model["shapes"].items()},
    }


def _merge(base: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in extra.items():
        mine = merged.get(key)
        both = isinstance(mine, dict) and isinstance(value, dict)
        merged[key] = _merge(mine, value) if both and mine is not None else value
    return merged


def _operation(body: dict[str, Any]) -> dict[str, Any]:
    http = body.get("http", {})
    output = body.get("output") or {}
    return {
        "method": http.get("method", "POST"),
        "uri": http.get("requestUri", "/"),
        "status": http.get("responseCode", 200),
        "input": (body.get("input") or {}).get("shape"),
        "output": output.get("shape"),
        "wrapper": output.get("resultWrapper"),
    }


def _shape(body: dict[str, Any]) -> dict[str, Any]:
    small = {key: body[key] for key in SHAPE_KEYS if key in body}
    if "members" in body:
        small["members"] = {name: _member(member) for name, member in body["members"].items()}
    for key in ("member", "key", "value"):
        if key in body:
            small[key] = _member(body[key])
    status = body.get("error", {}).get("httpStatusCode")
    if status is not None:
        small["status"] = status
    return small


def _member(body: dict[str, Any]) -> dict[str, Any]:
    return {key: body[key] for key in MEMBER_KEYS if key in body}


def read_model(data: Path, service: str) -> dict[str, Any]:
    """The newest model of a service in a botocore data folder. Raises `FileNotFoundError`."""
    versions = sorted(path for path in (data / service).iterdir() if path.is_dir())
    for version in reversed(versions):
        for name, opened in (("service-2.json.gz", gzip.open), ("service-2.json", open)):
            path = version / name
            if path.is_file():
                with opened(path, "rb") as file:
                    model: dict[str, Any] = json.loads(file.read())
                    return model
    raise FileNotFoundError(f"no service model of {service} in {data}")


def write(data: Path, overlays: Path, out: Path, service: str) -> None:
    """Write one service's small form, whole or not at all."""
    overlay_path = overlays / f"{service}.json"
    overlay = json.loads(overlay_path.read_bytes()) if overlay_path.is_file() else {}
    small = compact(read_model(data, service), overlay)
    out.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=out, prefix=f".{service}-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(small, file, separators=(",", ":"))
    Path(temporary).replace(out / f"{service}.json")


def main(arguments: list[str]) -> None:
    """Entry point of the child process."""
    data, overlays, out, *services = arguments
    for service in services:
        write(Path(data), Path(overlays), Path(out), service)


if __name__ == "__main__":
    main(sys.argv[1:])
