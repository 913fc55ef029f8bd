"""The heart's box by regression, beside the box of the heart's mask."""
