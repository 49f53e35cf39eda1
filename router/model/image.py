"""A container image, unpacked: what a function that is one runs.

An image is known by its URI. Where its files lie is the operator's to say (`images` of the
settings); what it starts is taken from it when a function is made of it or given another one, and
may be overridden by the function's `ImageConfig`, each part for itself.
"""

import msgspec

CONFIG_BYTES_MAX = 64 * 1024
"""What starts an image and its variables, together: ample beside the 4 KB of a function's own."""


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`ImageConfig`: what a function has otherwise than its image; empty: as the image has it."""

    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""

    @property
    def problem(self) -> str:
        """What is wrong with it; empty when nothing is."""
        if self.working_directory and not self.working_directory.startswith("/"):
            return f"ImageConfig.WorkingDirectory {self.working_directory} is no absolute path"
        if any("\0" in text for text in (*self.entry_point, *self.command, self.working_directory)):
            return "ImageConfig holds a null byte"
        return ""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image as a function uses it. The folder is the function's `code_path`."""

    uri: str
    """As the function names it; in a template also a local folder."""
    entry_point: tuple[str, ...] = ()
    """ENTRYPOINT of the image."""
    command: tuple[str, ...] = ()
    """CMD."""
    working_directory: str = ""
    """WORKDIR."""
    variables: dict[str, str] = {}
    """ENV."""
    is_joined: bool = False
    """Whether `entry_point` holds CMD as well: a bundle does not tell them apart."""
    config: ImageConfig = ImageConfig()

    @property
    def words(self) -> tuple[str, ...]:
        """Program and arguments; none when neither image nor function names a program."""
        entry_point = self.config.entry_point or self.entry_point
        return (*entry_point, *(self.config.command or self.command))

    @property
    def folder(self) -> str:
        """Where it starts."""
        return self.config.working_directory or self.working_directory or "/"

    @property
    def problem(self) -> str:
        """Why it cannot be started as configured; empty when it can."""
        if not self.words:
            return (
                f"image {self.uri} names no program: give ImageConfig with EntryPoint or Command, "
                "or put the image's configuration beside its folder rootfs, as config.json"
            )
        if self.is_joined and self.config.command and not self.config.entry_point:
            return (
                f"config.json of image {self.uri} does not say where its entry point ends, so its "
                "command cannot be replaced alone: give ImageConfig.EntryPoint as well"
            )
        return ""
