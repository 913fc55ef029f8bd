"""The processes: Celery tasks, and the supervisor of the embedded node. The only place here that imports Celery.

May import, of `workers`: `jobs` and what stands below.
"""
