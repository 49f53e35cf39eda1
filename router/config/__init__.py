"""Settings: what there are (`tree.py`), how they are read (`load.py`), secrets (`secrets.py`)."""

from router.config.load import Loaded, load, read
from router.config.secrets import resolve_secret
from router.config.tree import (
    AsyncSettings,
    IngressSettings,
    IsolationSettings,
    KafkaSettings,
    Settings,
    StoreSettings,
)

__all__ = [
    "AsyncSettings",
    "IngressSettings",
    "IsolationSettings",
    "KafkaSettings",
    "Loaded",
    "Settings",
    "StoreSettings",
    "load",
    "read",
    "resolve_secret",
]
