"""What a function is: code packages, versions, look-up."""
