"""Storage, Verification, Query and Storage Commitment as SCU: what this node asks of others."""
