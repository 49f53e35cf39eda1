"""A function with something to protect: a secret variable and a file in its `/tmp`."""

import os
import pathlib
import tempfile


def handler(event, context):
    path = pathlib.Path(tempfile.gettempdir()) / "events.json"
    path.write_text("an event of this function alone")
    api = os.environ.get("AWS_LAMBDA_RUNTIME_API")
    return {"pid": os.getpid(), "tmp": str(path), "api": api}
