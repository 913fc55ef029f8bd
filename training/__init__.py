"""Recipes that turn public data sets into the bundles the workers load. May import models, and nothing of the node.

From top to bottom, each imports only what stands below it: cli; explore; evaluation; tasks; bundles; fit and
measures; data; config and progress. `training/tasks/registry.py` says which package trains which task.
"""
