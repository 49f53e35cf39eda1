"""The composition root: the only place that knows concrete classes. Builds, starts, drains."""

from router.app.options import Options
from router.app.router import Router

__all__ = ["Options", "Router"]
