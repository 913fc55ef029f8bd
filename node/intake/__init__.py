"""From durable files to recorded instances: eligibility, ingest, completion and routing.

May import, of `node`: `dicomweb`, `dimse`, `db` and what stands below.
"""
