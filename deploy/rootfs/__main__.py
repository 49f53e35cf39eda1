"""The commands; see the package."""

import argparse
import sys
from pathlib import Path

from deploy.rootfs.build import BuildFailed, build
from deploy.rootfs.namespaces import Refused
from deploy.rootfs.start import execute, start


def main() -> int:
    """What a command of the image ended with; 1 when there was none."""
    parser = argparse.ArgumentParser(prog="python -m deploy.rootfs", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    builder = commands.add_parser("build", help="take the Dockerfile's steps")
    builder.add_argument("folder", type=Path, help="a new folder")
    starter = commands.add_parser("start", help="run the router in what was built")
    starter.add_argument("folder", type=Path)
    starter.add_argument("--data", type=Path, required=True, help="seen as /var/lib/router")
    starter.add_argument("--etc", type=Path, required=True, help="seen as /etc/router, read-only")
    starter.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    other = commands.add_parser("exec", help="run a command beside it")
    other.add_argument("folder", type=Path)
    other.add_argument("pid", type=int, help="of any process in there, as seen from here")
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    command = words[end + 1 :]
    given = parser.parse_args(words[:end])
    try:
        match given.name:
            case "build":
                build(given.folder)
                return 0
            case "start":
                variables = dict(pair.split("=", 1) for pair in given.env)
                return start(given.folder, given.data, given.etc, variables, command)
        return execute(given.folder, given.pid, command)
    except (BuildFailed, Refused) as error:
        print(f"rootfs: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
