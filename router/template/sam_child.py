"""Runs AWS's SAM translator, in a process of its own: JSON in on stdin, JSON out on stdout.

Started by path with the standard library and `samtranslator` alone; it imports nothing of the
router. In: `{"template": …, "region": …}`. Out: `{"template": …}` or
`{"problems": [{"logical_id": …, "text": …}], "function_properties": [...]}`.
"""

import json
import os
import sys
from typing import Any


def translate(template: dict[str, Any]) -> dict[str, Any]:
    """The reply for one template."""
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.model.sam_resources import SamFunction
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    try:
        # No managed policies are looked up: names stay names, roles have no effect here.
        return {"template": Translator({}, Parser()).translate(template, {})}
    except InvalidDocumentException as error:
        problems = [
            {
                "logical_id": getattr(cause, "_logical_id", "") or "",
                "text": getattr(cause, "_message", "") or str(cause.message),
            }
            for cause in error.causes
        ]
        return {"problems": problems, "function_properties": sorted(SamFunction.property_types)}


def main() -> None:
    """One request, one reply."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the translator prints must not get between the replies
    request = json.load(sys.stdin)
    os.environ["AWS_DEFAULT_REGION"] = request["region"]
    json.dump(translate(request["template"]), replies)
    replies.close()


if __name__ == "__main__":
    main()
