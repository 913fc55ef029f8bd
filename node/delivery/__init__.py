"""What goes where, as values: destinations, profiles, and what becomes of a file that was sent.

May import, of `node`: `dicom` and what stands below.
"""
