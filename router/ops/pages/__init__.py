"""What the ops page looks like, as HTML: the front page, one mapping, one function. Pure."""
