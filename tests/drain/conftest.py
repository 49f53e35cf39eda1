"""Beds, as other tests of whole routers have them."""

from tests.integration.conftest import bed, ear

__all__ = ["bed", "ear"]
