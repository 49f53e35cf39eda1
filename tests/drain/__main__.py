"""`make drain ROUNDS=n`: the rehearsal, as often as one likes."""

import argparse
import tempfile
from pathlib import Path

from tests.drain.rehearsal import rehearse
from tests.integration.bed import lone_bed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--round-s", type=float, default=3.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "router"
        place.mkdir()
        with lone_bed(place) as bed:
            report = rehearse(bed, options.rounds, options.round_s)
    print(report.line())
    report.check()


if __name__ == "__main__":
    main()
