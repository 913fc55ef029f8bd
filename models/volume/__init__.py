"""MR volumes: series, grid, left atrium."""
