"""What a router's host offers to functions and mappings besides running them."""

import msgspec

from router.model.runtimes import Family, family_of

MOUNT_PATH = r"/mnt/(?!\.{1,2}$)[a-zA-Z0-9-_.]{1,155}"
"""Where a function may see a file system: Lambda's pattern without `.` and `..`."""

FILE_SYSTEM_ARN = (
    r"arn:aws[a-zA-Z-]*:elasticfilesystem:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d:"
    r"\d{12}:access-point/fsap-[a-f0-9]{17}"
    r"|arn:aws[-a-z]*:s3files:[0-9a-z-:]+:file-system/fs-[0-9a-f]{17,40}"
    r"/access-point/fsap-[0-9a-f]{17,40}"
)
"""The access point a function names; only the path beside it counts here."""

PROGRAMS = {
    Family.NODEJS: "node",
    Family.JAVA: "java",
    Family.RUBY: "aws_lambda_ric",
}
"""What runs a family: looked for on PATH where interpreters are guessed."""

JAVA_CLIENT = "aws-lambda-java-runtime-interface-client"
"""The jar (Maven, group com.amazonaws) without which no function in Java runs."""


class Hosting(msgspec.Struct, frozen=True, kw_only=True):
    """What settings give by name: interpreters and folders to functions, queues to mappings."""

    runtimes: dict[str, str] = {}
    """Runtime → interpreter."""
    found: dict[Family, str] = {}
    """Family → program, for runtimes that are not mapped: what this host has on its PATH."""
    clients: dict[str, str] = {}
    """Family → folder with the client for the Runtime API that its runtime brings on AWS."""
    is_strict: bool = False
    """Whether a runtime without an interpreter of its own is refused, as `serve` does."""
    file_systems: dict[str, str] = {}
    """LocalMountPath → folder of the host."""
    images: dict[str, str] = {}
    """URI of a container image → the folder of this host where it is unpacked."""
    image_problem: str = ""
    """Why no image is run here, whatever its folder; empty where they are."""
    has_queues: bool = True
    """Whether a queue's ARN means a queue of this router, else one of AWS (`ROUTER_SQS`)."""

    def problem(self, runtime: str, file_systems: tuple[str, ...]) -> str:
        """Why a function cannot run here and which setting helps; empty when it can."""
        if problem := self._runtime_problem(runtime):
            return problem
        for path in file_systems:
            if path not in self.file_systems:
                return (
                    f"file system {path} has no folder on this host. Set "
                    f'"{path}" = "/path/to/folder" under [file_systems] in router.toml, or '
                    f"ROUTER_FILE_SYSTEMS={path}=/path/to/folder"
                )
        return ""

    def image_folder(self, uri: str) -> tuple[str, str]:
        """The folder of an image, or why there is none and what to do."""
        if self.image_problem:
            return "", self.image_problem
        if folder := self.images.get(uri):
            return folder, ""
        return "", (
            f"image {uri} is not unpacked here, and there is no container engine behind this "
            'router. Unpack its files into a folder and set "'
            f'{uri}" = "/path/to/folder" under [images] in router.toml, or '
            f"ROUTER_IMAGES={uri}=/path/to/folder; or put what is in its /var/task into a zip, "
            "with Runtime and Handler"
        )

    def program(self, runtime: str) -> str:
        """What runs a managed runtime: the mapped program, else the one found; else empty."""
        family = family_of(runtime)
        return self.runtimes.get(runtime) or (self.found.get(family, "") if family else "")

    def _runtime_problem(self, runtime: str) -> str:
        family = family_of(runtime)
        if not runtime or family is Family.PROVIDED:
            return ""
        if self.is_strict and runtime not in self.runtimes:
            return _no_interpreter(runtime, family, "this router runs only what is mapped")
        if family is Family.PYTHON:
            return ""
        if not self.program(runtime):
            name = PROGRAMS.get(family) if family else None
            why = f"no {name} is on the router's PATH" if name else "none is known"
            return _no_interpreter(runtime, family, why)
        if family is Family.JAVA and not self.clients.get(family):
            return (
                f"runtime {runtime} has no client: put {JAVA_CLIENT} (Maven, com.amazonaws) and "
                'the jars it needs into a folder. Set java = "/path/to/folder" under '
                "[runtime_clients] in router.toml, or ROUTER_RUNTIME_CLIENTS=java=/path/to/folder"
            )
        return ""


def _no_interpreter(runtime: str, family: Family | None, why: str) -> str:
    path = f"/path/to/{PROGRAMS.get(family, 'program') if family else runtime}"
    if family is Family.PYTHON:
        path = f"/path/to/{runtime}"
    is_whole = family in (Family.RUBY, Family.DOTNET)
    given = ", a program that gets the handler and speaks the Runtime API" if is_whole else ""
    return (
        f"runtime {runtime} has no interpreter: {why}. Set {runtime} = "
        f'"{path}" under [runtimes] in router.toml, or ROUTER_RUNTIMES={runtime}={path}{given}'
    )


def is_custom(runtime: str) -> bool:
    """Whether the function brings the program that runs it, so that the host needs none."""
    return family_of(runtime) is Family.PROVIDED


BARE = Hosting()
"""A host with nothing set."""
