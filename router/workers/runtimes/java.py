"""How Java is started for a function: the options of its machine, and where classes are.

AWS's runtime does the same: a heap that fits the function's memory, the serial collector and one
compiler tier, which starts fastest. What a function sets itself in `JAVA_TOOL_OPTIONS` is left out
here, because the command line would win over it.
"""

import os
import platform
import zipfile
from pathlib import Path

from router.model.hosting import JAVA_CLIENT

MAIN_CLASS = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda"

_LIBRARY_OPTION = "com.amazonaws.services.lambda.runtime.api.client.runtimeapi.NativeClient.JNI"
"""Where the client finds its native library; without it each process unpacks one into `/tmp`."""

_LIBRARY_BYTES_MAX = 16 * 1024 * 1024

SMALL_MB = 512
HEAP_PERCENT_SMALL = 60
HEAP_PERCENT = 80
"""Share of the memory that is heap; the machine itself needs some 50 MB."""

_OPTIONS = (
    ("-XX:+UseSerialGC", ("GC",)),
    ("-XX:TieredStopAtLevel=1", ("Tiered",)),
    ("-Xshare:auto", ("-Xshare",)),
)
"""Option → what a function's own options hold when they say otherwise."""

_HEAP_WORDS = ("-Xmx", "MaxHeapSize", "MaxRAM")


def options(memory_mb: int, given: str, library: str) -> list[str]:
    """Options of the machine for a function with so much memory and these options of its own.

    `library`: what `native_library` returned.
    """
    percent = HEAP_PERCENT_SMALL if memory_mb < SMALL_MB else HEAP_PERCENT
    chosen = [option for option, words in _OPTIONS if not any(word in given for word in words)]
    if not any(word in given for word in _HEAP_WORDS):
        chosen.append(f"-XX:MaxHeapSize={memory_mb * percent // 100}m")
    if library:
        chosen.append(f"-D{_LIBRARY_OPTION}={library}")
    # Its statistics file would be in /tmp, where other functions' process numbers come again.
    return [*chosen, "-XX:-UsePerfData", "-Djava.io.tmpdir={tmp}"]


def class_path(client: str) -> str:
    """The client first, as on AWS; then the code, its libraries and those of layers."""
    return f"{client}/*:{{task}}:{{task}}/lib/*:{{opt}}/java/lib/*"


def native_library(client: str, folder: Path) -> str:
    """The client's library for this machine, unpacked below `folder` once; empty without one.

    The client writes it to `/tmp` by that name, which only a private file view makes a function's
    own. Blocks for some ms. Raises `OSError`.
    """
    libc = "linux" if platform.libc_ver()[0] == "glibc" else "linux_musl"
    machine = platform.machine().replace("aarch64", "aarch_64")
    name = f"libaws-lambda-jni.{libc}-{machine}.so"
    place = folder / name
    if place.exists():
        return str(place)
    for jar in sorted(Path(client).glob(f"{JAVA_CLIENT}-*.jar")):
        try:
            with zipfile.ZipFile(jar) as archive, archive.open(f"jni/{name}") as packed:
                library = packed.read(_LIBRARY_BYTES_MAX)
        except (KeyError, zipfile.BadZipFile):
            continue
        folder.mkdir(mode=0o755, exist_ok=True)
        made = place.with_suffix(f".{os.urandom(4).hex()}")
        made.write_bytes(library)
        made.chmod(0o644)
        made.rename(place)
        return str(place)
    return ""
