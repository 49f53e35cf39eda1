"""What a router's host offers to functions and mappings besides running them."""

import msgspec

MOUNT_PATH = r"/mnt/(?!\.{1,2}$)[a-zA-Z0-9-_.]{1,155}"
"""Where a function may see a file system: Lambda's pattern without `.` and `..`."""

FILE_SYSTEM_ARN = (
    r"arn:aws[a-zA-Z-]*:elasticfilesystem:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d:"
    r"\d{12}:access-point/fsap-[a-f0-9]{17}"
    r"|arn:aws[-a-z]*:s3files:[0-9a-z-:]+:file-system/fs-[0-9a-f]{17,40}"
    r"/access-point/fsap-[0-9a-f]{17,40}"
)
"""The access point a function names; only the path beside it counts here."""


class Hosting(msgspec.Struct, frozen=True, kw_only=True):
    """What settings give by name: interpreters and folders to functions, queues to mappings."""

    runtimes: dict[str, str] = {}
    """Runtime → interpreter."""
    is_strict: bool = False
    """Whether a runtime without an interpreter of its own is refused, as `serve` does."""
    file_systems: dict[str, str] = {}
    """LocalMountPath → folder of the host."""
    has_queues: bool = True
    """Whether a queue's ARN means a queue of this router, else one of AWS (`ROUTER_SQS`)."""

    def problem(self, runtime: str, file_systems: tuple[str, ...]) -> str:
        """Why a function cannot run here and which setting helps; empty when it can."""
        if self.is_strict and runtime not in self.runtimes and not is_custom(runtime):
            return (
                f"runtime {runtime} has no interpreter: this router runs only what is mapped. "
                f'Set {runtime} = "/path/to/{runtime}" under [runtimes] in router.toml, or '
                f"ROUTER_RUNTIMES={runtime}=/path/to/{runtime}"
            )
        for path in file_systems:
            if path not in self.file_systems:
                return (
                    f"file system {path} has no folder on this host. Set "
                    f'"{path}" = "/path/to/folder" under [file_systems] in router.toml, or '
                    f"ROUTER_FILE_SYSTEMS={path}=/path/to/folder"
                )
        return ""


def is_custom(runtime: str) -> bool:
    """Whether the function brings the program that runs it, so that the host needs none."""
    return runtime.startswith("provided")


BARE = Hosting()
"""A host with nothing set."""
