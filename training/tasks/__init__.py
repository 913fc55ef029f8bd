"""One package for each kind of training."""
