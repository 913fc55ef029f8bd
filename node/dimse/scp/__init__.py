"""The Storage, Verification and Storage Commitment SCP (PS3.7, PS3.8): what others send to this node.

May import, of `node.dimse`: `items`, `reports`.
"""
