"""What the longer commands of `hilum` do, one module each; `node.cli` declares their arguments.

May import, of `node`: `health`, `conformance` and what stands below.
"""
