"""What an unpacked image runs: its own program, in its own root."""

from router.model.image import Image
from router.workers.runtime_api.program import Program

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where an image that sets no PATH has its programs (recorded on AWS)."""


def program_of(image: Image, root: str) -> Program:
    """The image's program, with its variables; a function's own of the same name win."""
    return Program(
        commands=(image.words,),
        variables={"PATH": PATH, **image.variables},
        runtime="",
        root=root,
        folder=image.folder,
    )
