"""Recipes that turn public data sets into the bundles the workers load."""
