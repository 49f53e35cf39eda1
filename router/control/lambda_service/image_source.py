"""Functions of container images: unpacked ones, in folders that the settings name."""

from typing import Any, Final

import msgspec

from router.control.lambda_service.names import invalid
from router.functions.images import ImageUnusable, with_image
from router.model.hosting import Hosting
from router.model.image import Image, ImageConfig
from router.model.resources import Function

Params = dict[str, Any]

_OTHERS: Final = ("ZipFile", "S3Bucket", "S3Key")


async def take_image(
    function: Function, code: Params, config: Params, hosting: Hosting
) -> Function:
    """The function with the image that `code` names, overridden as `ImageConfig` says.

    Raises `ApiError`.
    """
    if any(code.get(name) for name in _OTHERS) or not code.get("ImageUri"):
        raise invalid("Please provide ImageUri when updating a function with packageType Image.")
    image = Image(uri=code["ImageUri"], config=config_of(config))
    folder, problem = hosting.image_folder(image.uri)
    if problem:
        raise invalid(f"{problem}.")
    try:
        return await with_image(_replaced(function, image), folder)
    except ImageUnusable as error:
        raise invalid(f"{error}.") from None


def overridden(function: Function, given: Params | None) -> Function:
    """The function with other overrides of its image; none given leave it. Raises `ApiError`."""
    if given is None or function.image is None:
        return function
    image = msgspec.structs.replace(function.image, config=config_of(given))
    if image.problem:
        raise invalid(f"{image.problem}.")
    return _replaced(function, image)


def config_of(given: Params) -> ImageConfig:
    """`ImageConfig` as requests hold it. Raises `ApiError`."""
    config = ImageConfig(
        entry_point=tuple(given.get("EntryPoint") or ()),
        command=tuple(given.get("Command") or ()),
        working_directory=given.get("WorkingDirectory") or "",
    )
    if problem := config.problem:
        raise invalid(f"{problem}.")
    return config


def shown(config: ImageConfig) -> Params:
    """As answers hold it; empty when nothing is overridden."""
    members = {
        "EntryPoint": list(config.entry_point),
        "Command": list(config.command),
        "WorkingDirectory": config.working_directory,
    }
    return {name: value for name, value in members.items() if value}


def _replaced(function: Function, image: Image) -> Function:
    return msgspec.structs.replace(function, image=image)
