"""What the networks say, as plain frozen values."""
