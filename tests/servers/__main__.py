"""`python -m tests.servers` fetches all servers' jars and packages; `make servers` runs it."""

import os
import sys

from tests.servers import debian, jars
from tests.servers.base import REQUIRED


def main() -> int:
    """0 when all are here, or when nobody requires them."""
    wanted = [(jars.fetch, name) for name in jars.names()]
    wanted += [(debian.fetch, name) for name in debian.PACKAGES]
    for fetch, name in wanted:
        try:
            if fetch(name):
                print(f"fetched {name}")
        except jars.Missing as error:
            print(f"{error}\ntests that need it will be {'failed' if _must() else 'skipped'}")
            if _must():
                return 1
    return 0


def _must() -> bool:
    return bool(os.environ.get(REQUIRED))


if __name__ == "__main__":
    sys.exit(main())
