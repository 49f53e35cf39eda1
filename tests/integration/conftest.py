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
