"""`make pictures`: those in docs/pictures anew, in some minutes."""

import argparse
from pathlib import Path

from tests.pictures import ops_page

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """All of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs/pictures")
    parser.add_argument("--seconds", type=float, default=240, help="how long the router runs")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    ops_page.make(given.folder, given.seconds)


if __name__ == "__main__":
    main()
