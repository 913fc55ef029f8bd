"""Networks that run: numpy in, numpy out.

May import networks, bundle and what stands below these.
"""
