"""Scripts of the image's first stage; they run there by their path, with the standard library."""
