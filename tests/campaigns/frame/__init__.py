"""What every campaign is made of: a node of its own processes, a router, an archive, the checker, and the outcome."""
