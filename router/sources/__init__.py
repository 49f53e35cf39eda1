"""Stage 1, fetch: adapters that read when told. No loop, no retry, no policy."""
