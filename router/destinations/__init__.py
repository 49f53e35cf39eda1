"""Stage 6, deliver: what was given up reaches its destination."""
