"""Metrics and logs. Every metric of the router is in `metrics.py`."""
