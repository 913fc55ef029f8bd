"""DICOMweb as user agent (PS3.18): client and STOW-RS. The only place that imports requests and dicomweb-client.

May import, of `node`: `spool` and what stands below.
"""
