"""What the longer commands of `hilum` do, one module each; `node.cli` declares their arguments."""
