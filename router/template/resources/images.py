"""Functions of container images in templates: which image, and what is overridden of it.

An image is a URI, for which the router's settings name the folder where it is unpacked, or such a
folder itself: a path that begins with `.` or `/`, relative to the template.
"""

from pathlib import Path

from router.model.image import Image, ImageConfig
from router.template.properties import Properties
from router.template.resources.base import Draft

WORDS_MAX = 1500
"""Words of EntryPoint or Command (Lambda quota)."""

WORKING_DIRECTORY_CHARACTERS_MAX = 1000

_OF_CODE = ("Runtime", "Handler", "Layers")


def read(properties: Properties, draft: Draft) -> tuple[Image, str]:
    """The image, and where it is unpacked if the template says so itself, else empty.

    What it starts is known when the template is planned.
    """
    for name in _OF_CODE:
        if name in properties:
            properties.problem(name, "is not for a function of PackageType Image")
    uri = _uri(properties)
    return Image(uri=uri, config=_config(properties)), _folder(properties, uri, draft)


def _folder(properties: Properties, written: str, draft: Draft) -> str:
    if not written.startswith((".", "/")):
        return ""
    if "\0" in written:
        properties.problem("Code", f"{written!r} is no path")
        return ""
    place = Path(draft.folder, written).resolve()
    if not place.is_dir():
        properties.problem(
            "Code", f"folder {written} with an unpacked image does not exist", f"looked at {place}"
        )
    return str(place)


def _uri(properties: Properties) -> str:
    code = properties.section("Code")
    if code is None:
        properties.problem("Code", "is required", "ImageUri: the URI or folder of an image")
        return ""
    code.check_known(("ImageUri",), "Code of a function of PackageType Image")
    code.require("ImageUri")
    return code.text("ImageUri")


def _config(properties: Properties) -> ImageConfig:
    section = properties.section("ImageConfig")
    if section is None:
        return ImageConfig()
    section.check_known(("EntryPoint", "Command", "WorkingDirectory"), "ImageConfig")
    words = {name: section.texts(name) for name in ("EntryPoint", "Command")}
    for name, found in words.items():
        if len(found) > WORDS_MAX:
            section.problem(name, f"has more than {WORDS_MAX} words")
    config = ImageConfig(
        entry_point=tuple(words["EntryPoint"]),
        command=tuple(words["Command"]),
        working_directory=section.text(
            "WorkingDirectory", length_max=WORKING_DIRECTORY_CHARACTERS_MAX
        ),
    )
    if config.problem:
        properties.problem("ImageConfig", config.problem.removeprefix("ImageConfig "))
    return config
