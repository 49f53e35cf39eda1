"""Stage 5, interpret: what a reply means, and the record of what was given up. Pure."""
