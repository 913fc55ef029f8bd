"""The always-on edge: receives, records, completes, dispatches and returns studies. Imports no model code."""

__version__ = "0.1.0"
