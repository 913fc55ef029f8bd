"""What several kinds of result have in common."""
