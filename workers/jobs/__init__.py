"""One job from claim to its last delivery, without Celery.

May import, of `workers`: `pipelines` and what stands below.
"""
