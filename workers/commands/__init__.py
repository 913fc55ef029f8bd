"""What the commands of `hilum` do that need networks or results."""
