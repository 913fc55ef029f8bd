"""The DICOM network (PS3.7, PS3.8): `scp` is what others send to this node, `scu` what it asks of others.

May import, of `node`: `spool` and what stands below.
"""
