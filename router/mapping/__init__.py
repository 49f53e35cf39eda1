"""Stage 2, decide: pure engines turn facts into commands; only `shell` and `manager` act."""
