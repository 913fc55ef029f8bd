"""What the networks say, as plain frozen values.

Imports nothing of this project.
"""
