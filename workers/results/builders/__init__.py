"""One module for each kind of result."""
