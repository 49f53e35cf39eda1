"""A bed for each test, gone after it."""

import pytest

from tests.integration.bed import Bed, Ear


@pytest.fixture
def ear():
    ear = Ear()
    yield ear
    ear.close()


@pytest.fixture
def bed(tmp_path, ear):
    bed = Bed(tmp_path, ear)
    yield bed
    bed.close()


@pytest.fixture
def routers(tmp_path, ear):
    """Makes beds with folders of their own and one ear."""
    made: list[Bed] = []

    def make() -> Bed:
        folder = tmp_path / f"router-{len(made)}"
        folder.mkdir()
        made.append(Bed(folder, ear))
        return made[-1]

    yield make
    for bed in made:
        bed.close()
