"""Storage, Verification, Query and Storage Commitment as SCU: what this node asks of others.

May import, of `node.dimse`: `items`, `reports`.
"""
