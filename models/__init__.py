"""Networks and what they see and say: from a file and a bundle to findings. Knows no queue, database or DIMSE.

From top to bottom, each imports only what stands below it: chest and volume; inference; bundle and networks; image;
values; errors and openmp. `phantom`, which draws chests, stands apart.
"""
