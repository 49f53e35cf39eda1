"""HTTP in, event out: the listener for outside traffic."""
