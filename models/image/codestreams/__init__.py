"""What a compressed frame says of itself, read strictly and before any decoder sees it.

May import nothing of `models` but `errors`.
"""
