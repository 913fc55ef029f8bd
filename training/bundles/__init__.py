"""What turns a run into a bundle: manifest, limits of gate and lesions, card."""
