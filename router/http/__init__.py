"""HTTP/1.1 for strangers: every bound and deadline is our own."""
