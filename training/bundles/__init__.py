"""What every run needs to become a bundle: its manifest and its tensors.

May import fit, data and config.
"""
