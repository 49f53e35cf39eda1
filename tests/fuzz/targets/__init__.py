"""One module for each place where foreign bytes are read."""
