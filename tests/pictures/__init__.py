"""The pictures in docs/pictures, made of a router that really runs."""
