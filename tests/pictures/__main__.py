"""`make pictures`: those in docs/pictures anew, in some minutes."""

import argparse
from pathlib import Path

from tests.pictures import dashboards, ops_page

ROOT = Path(__file__).resolve().parents[2]

DASHBOARDS_S, OPS_PAGE_S = 140.0, 240.0
"""How long the router runs for them."""


def main() -> None:
    """All of them, or some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs/pictures")
    parser.add_argument("--only", choices=["ops", "dashboards"])
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.only != "ops":
        dashboards.make(given.folder, DASHBOARDS_S)
    if given.only != "dashboards":
        ops_page.make(given.folder, OPS_PAGE_S)


if __name__ == "__main__":
    main()
