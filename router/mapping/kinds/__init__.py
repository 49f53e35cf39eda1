"""How each kind of source is run: what the manager asks for is in `kind.py`, one module a kind."""
