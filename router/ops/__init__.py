"""The ops listener: metrics and health."""
