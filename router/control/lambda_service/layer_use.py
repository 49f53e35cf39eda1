"""The layers a function names: looked up, checked, and put together below its `/opt`.

Order and texts of `functions-and-invocation.md` 4.5.
"""

from collections.abc import Sequence

from router.control.context import Context
from router.control.lambda_service.names import invalid
from router.functions.packages import CodeStore
from router.model.arn import parse_arn
from router.model.layer import LAYERS_MAX, layer_key
from router.model.limits import CODE_UNZIPPED_BYTES_MAX
from router.model.resources import LayerUse
from router.store.catalog import Catalog


def uses_of(context: Context, catalog: Catalog, arns: Sequence[str]) -> tuple[LayerUse, ...]:
    """The versions behind ARNs, in their order. Raises `ApiError`."""
    if len(arns) > LAYERS_MAX:
        raise invalid(f"Cannot reference more than {LAYERS_MAX} layers.")
    found: dict[str, LayerUse] = {}
    for arn in arns:
        use = _find(context, catalog, arn)
        if (other := found.get(use.layer_arn)) is not None:
            raise invalid(
                "Two different versions of the same layer are not allowed to be referenced in the "
                f"same function. {other.arn} and {arn} are versions of the same layer."
            )
        found[use.layer_arn] = use
    return tuple(found.values())


async def put_together(codes: CodeStore, uses: Sequence[LayerUse], code_unzipped_bytes: int) -> str:
    """The folder to be seen as `/opt`; empty without layers. Raises `ApiError` for too much."""
    total_bytes = code_unzipped_bytes + sum(use.unzipped_bytes for use in uses)
    if total_bytes > CODE_UNZIPPED_BYTES_MAX:
        raise invalid(f"Unzipped size must be smaller than {CODE_UNZIPPED_BYTES_MAX} bytes")
    return await codes.overlay([use.code_hash for use in uses]) if uses else ""


def _find(context: Context, catalog: Catalog, text: str) -> LayerUse:
    arn = parse_arn(text)
    if arn.region != context.region:
        raise invalid(
            "Layers are not in the same region as the function. Layers are expected to be in "
            f"region {context.region}."
        )
    _, name, number = arn.resource.split(":")
    version = catalog.layer_versions.get(layer_key(name, int(number)))
    if version is None or arn.account != context.account:
        raise invalid(f"Layer version {text} does not exist.")
    return LayerUse(text, version.code_hash, version.code_size, version.unzipped_bytes)
