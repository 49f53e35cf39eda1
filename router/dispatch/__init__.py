"""Stage 3, share out: who may invoke now."""
