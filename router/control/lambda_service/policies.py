"""Resource policies: kept and shown statement by statement, or as a whole document (5.5)."""

from collections.abc import Sequence
from typing import Any

import orjson

from router.control.context import Context
from router.control.errors import ApiError
from router.control.lambda_service.finding import check_revision, find_function
from router.control.lambda_service.names import (
    FunctionRef,
    conflict,
    invalid,
    not_found,
    parse_ref,
)
from router.functions.permissions import (
    POLICY_BYTES_MAX,
    BadPrincipal,
    document_of,
    permission_name,
    policy_of,
    revision_of,
    statement_of,
)
from router.functions.resolve import has_qualifier
from router.model.permission import Permission
from router.model.version import LATEST
from router.store.base import Delete
from router.store.catalog import Catalog, put

Params = dict[str, Any]

NO_POLICY = "The resource you requested does not exist."


class Policies:
    """One method per operation of the model."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def add_permission(self, context: Context, params: Params) -> Params:
        """AddPermission."""
        ref = parse_ref(context, params["FunctionName"], params.get("Qualifier"))
        if ref.qualifier == LATEST:
            raise invalid("We currently do not support adding policies for $LATEST.")
        async with self._catalog.changing() as catalog:
            policy = self._policy(ref)
            _check_revision(params, policy)
            sid = params["StatementId"]
            if any(permission.sid == sid for permission in policy):
                raise conflict(
                    f"The statement id ({sid}) provided already exists. Please provide a new "
                    "statement id, or remove the existing statement."
                )
            try:
                statement = statement_of(sid, ref.arn(), params)
            except BadPrincipal as error:
                raise invalid(str(error)) from None
            place = policy[-1].place + 1 if policy else 0
            added = _permission(ref, sid, statement, place)
            _check_length([*policy, added])
            await catalog.commit_locked([put("permission", permission_name(added), added)])
        return {"Statement": orjson.dumps(statement).decode()}

    async def get_policy(self, context: Context, params: Params) -> Params:
        """GetPolicy."""
        ref = parse_ref(context, params["FunctionName"], params.get("Qualifier"))
        find_function(self._catalog, ref)
        return _shown(self._existing(ref))

    async def remove_permission(self, context: Context, params: Params) -> None:
        """RemovePermission."""
        ref = parse_ref(context, params["FunctionName"], params.get("Qualifier"))
        if ref.name not in self._catalog.functions:
            raise not_found(f"No policy found for: {ref.arn()}")
        async with self._catalog.changing() as catalog:
            policy = self._policy(ref)
            if not policy:
                raise not_found("No policy is associated with the given resource.")
            sid = params["StatementId"]
            found = [permission for permission in policy if permission.sid == sid]
            if not found:
                raise not_found(f"Statement {sid} is not found in resource policy.")
            _check_revision(params, policy)
            await catalog.commit_locked([Delete("permission", permission_name(found[0]))])

    async def put_resource_policy(self, context: Context, params: Params) -> Params:
        """PutResourcePolicy: the whole document in place of what there was."""
        ref = parse_ref(context, params["ResourceArn"])
        async with self._catalog.changing() as catalog:
            before = self._policy(ref)
            _check_revision(params, before)
            policy = [
                _permission(ref, statement["Sid"], statement, place)
                for place, statement in enumerate(_read(params["Policy"]))
            ]
            _check_length(policy)
            names = {permission_name(permission) for permission in policy}
            gone = [permission_name(old) for old in before if permission_name(old) not in names]
            await catalog.commit_locked(
                [
                    *(Delete("permission", name) for name in gone),
                    *(put("permission", permission_name(new), new) for new in policy),
                ]
            )
        return _shown(policy)

    async def get_resource_policy(self, context: Context, params: Params) -> Params:
        """GetResourcePolicy."""
        ref = parse_ref(context, params["ResourceArn"])
        find_function(self._catalog, ref)
        return _shown(self._existing(ref))

    async def delete_resource_policy(self, context: Context, params: Params) -> None:
        """DeleteResourcePolicy."""
        ref = parse_ref(context, params["ResourceArn"])
        async with self._catalog.changing() as catalog:
            find_function(catalog, ref)
            policy = self._existing(ref)
            _check_revision(params, policy)
            names = [permission_name(permission) for permission in policy]
            await catalog.commit_locked([Delete("permission", name) for name in names])

    def _policy(self, ref: FunctionRef) -> list[Permission]:
        """The statements of a function, version or alias that exists. Raises `ApiError`."""
        find_function(self._catalog, ref)
        if not has_qualifier(self._catalog, ref.name, ref.qualifier):
            is_version = ref.qualifier is not None and ref.qualifier.isdigit()
            what = "Function not found:" if is_version else "Cannot find alias arn:"
            raise not_found(f"{what} {ref.arn()}")
        return policy_of(self._catalog.permissions, ref.name, ref.qualifier)

    def _existing(self, ref: FunctionRef) -> list[Permission]:
        policy = policy_of(self._catalog.permissions, ref.name, ref.qualifier)
        if not policy:
            raise not_found(NO_POLICY)
        return policy


def _permission(ref: FunctionRef, sid: str, statement: dict[str, Any], place: int) -> Permission:
    return Permission(
        function=ref.name,
        qualifier=ref.qualifier or LATEST,
        sid=sid,
        statement=statement,
        place=place,
    )


def _read(text: str) -> list[dict[str, Any]]:
    """The statements of a document, each with a Sid of its own. Raises `ApiError`."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(f"The policy is not JSON: {error}.") from None
    given = document.get("Statement") if isinstance(document, dict) else None
    statements = [given] if isinstance(given, dict) else given
    if not isinstance(statements, list) or not statements:
        raise invalid("The policy has no Statement.")
    found: dict[str, dict[str, Any]] = {}
    for number, statement in enumerate(statements, 1):
        if not isinstance(statement, dict) or not {"Effect", "Principal", "Action"} <= set(
            statement
        ):
            raise invalid(f"Statement {number} of the policy lacks Effect, Principal or Action.")
        sid = statement.get("Sid", f"statement-{number}")
        if not isinstance(sid, str) or sid in found:
            raise invalid(f"Statement {number} of the policy has no Sid of its own.")
        found[sid] = {"Sid": sid, **statement}
    return list(found.values())


def _check_length(policy: Sequence[Permission]) -> None:
    size_bytes = len(document_of(policy).encode())
    if size_bytes > POLICY_BYTES_MAX:
        raise ApiError(
            "PolicyLengthExceededException",
            f"The final policy size ({size_bytes}) is bigger than the limit ({POLICY_BYTES_MAX}).",
        )


def _check_revision(params: Params, policy: Sequence[Permission]) -> None:
    current = revision_of(policy) if policy else ""
    check_revision(params.get("RevisionId"), current, "GetPolicy")


def _shown(policy: Sequence[Permission]) -> Params:
    return {"Policy": document_of(policy), "RevisionId": revision_of(policy)}
