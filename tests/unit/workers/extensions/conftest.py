"""A Runtime API with nobody behind it, as its own tests have it; and ends that nobody hurries."""

import pytest

from router.workers.extensions import environment as extended
from router.workers.runtime_api import environment as runtime
from tests.patience import PATIENCE_S
from tests.unit.workers.runtime_api.test_server import bed as api_bed  # noqa: F401  # a fixture


@pytest.fixture
def patient(monkeypatch):
    """Whoever ends by itself is let, however busy the machine is."""
    monkeypatch.setattr(runtime, "RUNTIME_TERM_S", PATIENCE_S)
    monkeypatch.setattr(extended, "RUNTIME_TERM_S", PATIENCE_S)
    monkeypatch.setattr(extended, "SHUTDOWN_S", PATIENCE_S)
