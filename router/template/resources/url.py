"""`AWS::Lambda::Url`: a function's own URL."""

from collections.abc import Callable
from typing import Any

from router.model.function_url import METHODS, Cors, FunctionUrl, url_text
from router.model.version import LATEST
from router.store.catalog import own_name
from router.template.properties import Properties
from router.template.resources.alias import ALIAS_PATTERN
from router.template.resources.base import At, Draft
from router.template.resources.function_ref import parse_function_ref

MAX_AGE_S = 86_400
"""Longest MaxAge (Lambda quota)."""

LIST_MAX = 100
"""Most origins, or headers (Lambda quota)."""

_CORS = (
    "AllowCredentials",
    "AllowHeaders",
    "AllowMethods",
    "AllowOrigins",
    "ExposeHeaders",
    "MaxAge",
)


def url_token(logical_id: str) -> str:
    """What stands for the id of a URL until the template is planned."""
    return f"url--{logical_id}--"


class LambdaUrl:
    """A URL."""

    name = "AWS::Lambda::Url"
    effect = ""

    def ref(self, at: At) -> str:
        """The function's ARN, as CloudFormation says."""
        return at.given_text("TargetFunctionArn")

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """FunctionUrl and FunctionArn."""
        around = at.surroundings
        token = url_token(at.logical_id)
        return {
            "FunctionUrl": lambda: url_text(
                token, around.region, around.url_base, around.ingress_url
            ),
            "FunctionArn": lambda: self.ref(at),
        }

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Add the URL."""
        properties.check_known(
            ("TargetFunctionArn", "Qualifier", "AuthType", "Cors", "InvokeMode"), self.name
        )
        if not properties.require("TargetFunctionArn", "AuthType"):
            return
        auth = properties.text("AuthType", choices=("NONE", "AWS_IAM"))
        mode = properties.text("InvokeMode", "", choices=("", "BUFFERED", "RESPONSE_STREAM"))
        given = properties.text("Qualifier", pattern=ALIAS_PATTERN, length_max=128)
        found = parse_function_ref(properties, "TargetFunctionArn", at.surroundings)
        cors = _cors(properties)
        if found is None:
            return
        qualifier = given or found.qualifier or LATEST
        name = own_name(found.name, qualifier)
        if name in draft.urls:
            properties.problem("TargetFunctionArn", f"{found.name} has two URLs for {qualifier}")
        draft.urls[name] = FunctionUrl(
            function=found.name,
            qualifier=qualifier,
            id=url_token(at.logical_id),
            is_signed=auth == "AWS_IAM",
            cors=cors,
            invoke_mode=mode,
            created_ms=0,
            modified_ms=0,
            owner=at.owner,
        )


def _cors(properties: Properties) -> Cors | None:
    section = properties.section("Cors")
    if section is None:
        return None
    section.check_known(_CORS, "Cors")
    lists = {}
    for name in ("AllowOrigins", "AllowHeaders", "ExposeHeaders"):
        lists[name] = section.texts(name)
        if len(lists[name]) > LIST_MAX:
            section.problem(name, f"more than {LIST_MAX}")
    has_age, has_credentials = "MaxAge" in section, "AllowCredentials" in section
    return Cors(
        origins=lists["AllowOrigins"],
        methods=section.texts("AllowMethods", choices=tuple(sorted(METHODS))),
        headers=lists["AllowHeaders"],
        exposed=lists["ExposeHeaders"],
        max_age_s=section.integer("MaxAge", 0, MAX_AGE_S, 0) if has_age else None,
        has_credentials=section.boolean("AllowCredentials") if has_credentials else None,
    )
