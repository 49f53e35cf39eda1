"""Real servers for tests: started on free ports of the loopback, ended by their process id."""
