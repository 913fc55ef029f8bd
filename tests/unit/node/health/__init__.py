"""How well the node is."""
