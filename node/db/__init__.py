"""The truth: typed tables, the state machine, the audit chain. The only place that imports SQLAlchemy.

May import, of `node`: `spool` and what stands below.
"""
