"""Networks that run: numpy in, numpy out."""
