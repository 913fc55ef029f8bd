"""The DICOM Standard as tables and parsers: UIDs, contexts, statuses, headers. Knows no network, disk or database.

May import, of `node`: `identity` and what stands below.
"""
