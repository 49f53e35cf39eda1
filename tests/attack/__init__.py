"""Ingest under attack: real faults against a real router, with normal traffic beside them."""
