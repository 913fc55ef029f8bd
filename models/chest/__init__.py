"""The chest radiograph: gate, findings, anatomy, lesions.

May import, of `models`: `inference` and what stands below.
"""
