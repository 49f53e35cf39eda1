"""How Java is started for a function: the options of its machine, and where classes are.

AWS's runtime does the same: a heap that fits the function's memory, the serial collector and one
compiler tier, which starts fastest. What a function sets itself in `JAVA_TOOL_OPTIONS` is left out
here, because the command line would win over it.
"""

MAIN_CLASS = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda"

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


def options(memory_mb: int, given: str) -> list[str]:
    """Options of the machine for a function with so much memory and these options of its own."""
    percent = HEAP_PERCENT_SMALL if memory_mb < SMALL_MB else HEAP_PERCENT
    chosen = [option for option, words in _OPTIONS if not any(word in given for word in words)]
    if not any(word in given for word in _HEAP_WORDS):
        chosen.append(f"-XX:MaxHeapSize={memory_mb * percent // 100}m")
    # Its statistics file would be in /tmp, where other functions' process numbers come again.
    return [*chosen, "-XX:-UsePerfData", "-Djava.io.tmpdir={tmp}"]


def class_path(client: str) -> str:
    """The client first, as on AWS; then the code, its libraries and those of layers."""
    return f"{client}/*:{{task}}:{{task}}/lib/*:{{opt}}/java/lib/*"
