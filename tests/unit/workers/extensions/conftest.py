"""A Runtime API with nobody behind it, as its own tests have it."""

from tests.unit.workers.runtime_api.test_server import bed as api_bed  # noqa: F401  # a fixture
