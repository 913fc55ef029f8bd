"""Headers of the images that results are made of."""
