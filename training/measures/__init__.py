"""Figures of merit, their intervals, and choices made on validation."""
